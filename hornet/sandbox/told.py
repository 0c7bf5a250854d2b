"""How a worker tells of an error, so that its caller can raise the same."""

from __future__ import annotations

from typing import NamedTuple

from hornet.errors import HornetError


class Told(NamedTuple):
    """An error as JSON has it: where its class is defined, and what it says."""

    module: str
    name: str
    message: str
    hint: str

    @classmethod
    def of(cls, error: HornetError) -> Told:
        """What hornet.sandbox.heard() makes an error again."""
        return cls(type(error).__module__, type(error).__qualname__, error.message, error.hint)
