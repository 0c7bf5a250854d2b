"""Concurrent restores: the duration of each, the throughput, and the level where it stops growing."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise

from hornet.errors import HornetError

# Less gain than this from one level to the next counts as none.
MIN_GAIN = 1.1


@dataclass(frozen=True)
class Level:
    """So many restores at once. wall_ms: until the last one ended; latencies_ms: of those that succeeded.

    failures: by the number of the restore.
    """

    at_once: int
    wall_ms: float
    latencies_ms: list[float]
    failures: dict[int, HornetError]

    @property
    def per_second(self) -> float:
        """Successful restores in a second."""
        return len(self.latencies_ms) / self.wall_ms * 1000


def restore_at_once(at_once: int, restore: Callable[[int], None]) -> Level:
    """Call restore(number) on so many threads at the same moment. A HornetError is a failed restore."""
    barrier = threading.Barrier(at_once)

    def one(number: int) -> tuple[float, float, HornetError | None]:
        barrier.wait()
        began_s = time.monotonic()
        try:
            restore(number)
        except HornetError as error:
            return began_s, time.monotonic(), error
        return began_s, time.monotonic(), None

    with ThreadPoolExecutor(at_once) as pool:
        results = list(pool.map(one, range(at_once)))
    wall_ms = (max(end for _, end, _ in results) - min(begin for begin, _, _ in results)) * 1000
    latencies_ms = [(end - begin) * 1000 for begin, end, error in results if error is None]
    return Level(at_once, wall_ms, latencies_ms, {n: error for n, (_, _, error) in enumerate(results) if error})


def bend(per_second: Sequence[tuple[int, float]]) -> int | None:
    """The number at once from which the next larger one gives less than 10 % more restores a second.

    per_second: pairs of (at once, restores a second), ascending. None if each gives more.
    """
    for (at_once, here), (_, further) in pairwise(per_second):
        if further < here * MIN_GAIN:
            return at_once
    return None
