"""An error as a worker sends it, so that the caller can raise the same."""

from __future__ import annotations

from typing import NamedTuple

from hornet.errors import HornetError


class SerializedError(NamedTuple):
    """An error in JSON: the module and name of its class, and its texts."""

    module: str
    name: str
    message: str
    hint: str

    @classmethod
    def of(cls, error: HornetError) -> SerializedError:
        """From an error; hornet.sandbox.deserialize_error() converts it back."""
        return cls(type(error).__module__, type(error).__qualname__, error.message, error.hint)
