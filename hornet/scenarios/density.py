"""Starts clones until a memory budget is used, and says what each took: density that ran, not a sum that was computed.

The host's MemAvailable decides: it also shrinks by what no process has, such as page tables and the VMs' networks.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from hornet.errors import HornetError


class Ended(StrEnum):
    """What ended the start of clones."""

    MEMORY = "memory"  # the budget is used
    CLONES = "clones"  # as many as were asked for
    FAILURE = "failure"  # the host ran out of something else


@dataclass(frozen=True)
class Point:
    """What the host's memory lost while so many clones ran."""

    clones: int
    taken_mb: float


@dataclass(frozen=True)
class Filling:
    """Clones that were started, all running at once.

    points: after each batch, the first without a clone. ended, reason: what ended it, for a reader.
    """

    points: list[Point]
    budget_mb: float
    ended: Ended
    reason: str

    @property
    def clones(self) -> int:
        """The clones that run."""
        return self.points[-1].clones

    @property
    def fitting(self) -> int:
        """The largest number of clones that ran within the budget."""
        return max(point.clones for point in self.points if point.taken_mb <= self.budget_mb)


def fill(
    start: Callable[[int], None], budget_mb: float, *, most: int, at_once: int, taken_mb: Callable[[], float]
) -> Filling:
    """Start clones in batches until they take `budget_mb`, until there are `most`, or until the host has no more.

    start: starts so many more clones. taken_mb: what the host's memory has lost. The last batches are smaller: a batch
    that goes beyond the budget says only that fewer clones fit. Raises HornetError if not even the first batch starts.
    """
    points = [Point(0, 0.0)]
    while (running := points[-1].clones) < most:
        count = min(at_once, most - running, _room(points[-1], budget_mb))
        try:
            start(count)
        except HornetError as error:
            if not running:
                raise
            return Filling(points, budget_mb, Ended.FAILURE, error.message)
        points.append(Point(running + count, taken_mb()))
        if points[-1].taken_mb >= budget_mb:
            return Filling(points, budget_mb, Ended.MEMORY, f"{budget_mb:.0f} MB are used")
    return Filling(points, budget_mb, Ended.CLONES, f"{most} clones were asked for")


def _room(point: Point, budget_mb: float) -> int:
    """How many more clones fit if each takes what the mean clone has taken. At least one: it shows that none does."""
    if point.taken_mb <= 0:
        return sys.maxsize
    return max(1, int((budget_mb - point.taken_mb) * point.clones / point.taken_mb))
