"""A parser that is fuzzed."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from hornet.errors import HornetError


@dataclass(frozen=True)
class Target:
    """A parser: `run` feeds it; `samples` are inputs that it accepts, or nearly."""

    run: Callable[[bytes], object]
    samples: Callable[[], Iterable[bytes]]

    def survives(self, data: bytes) -> None:
        """Feed it; any exception but a HornetError comes out."""
        try:
            self.run(data)
        except HornetError:
            pass
