"""What a snapshot must stop in its guest, and what a restore must make anew: the host's half of /etc/hornetos/watch.

Every clone of a snapshot starts from the same memory: with the same random number generator, clock and identity. So
the guest's processes stand still before the snapshot, and go on after the restore only when the guest has got a new
seed and the time from here. Told by the serial line: it needs neither network nor SSH, whose keys would be drawn from
the old random numbers.
"""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass

from hornet.errors import VMError
from hornet.vmm.console import Console
from hornet.vmm.failure import VMFailedError

SEED_BYTES = 32
# What there is in a guest whose half runs.
WATCH_FILE = "/run/hornetos/watch.pid"


@dataclass(frozen=True)
class ConsoleCommand:
    """Something that the guest was told to do, and is doing."""

    console: Console
    verb: str
    answer: str

    def wait(self, timeout_s: float) -> None:
        """Wait until it is done. Raises VMError if the guest does not say so."""
        try:
            self.console.wait_for(self.answer, timeout_s)
        except VMFailedError:
            raise
        except VMError as error:
            raise VMError(
                f"the guest was told to {self.verb} and did not answer: {error.message}",
                "does /etc/hornetos/watch run in it?",
                timed_out=error.timed_out,
            ) from error


def freeze(console: Console) -> ConsoleCommand:
    """Tell the guest to let all its processes stand still. Raises VMError."""
    return _order(console, "freeze", "frozen")


def refresh(console: Console) -> ConsoleCommand:
    """Tell the guest the time, give it a new seed, and let it go on. Raises VMError."""
    return _order(console, "refresh", "refreshed", f"{time.time():.9f}", secrets.token_hex(SEED_BYTES))


def _order(console: Console, verb: str, done: str, *values: str) -> ConsoleCommand:
    token = secrets.token_hex(4)
    console.send(f"{' '.join(('hornetos', verb, token, *values))}\n")
    # Not only at the start of a line: whatever was being printed at the snapshot comes first.
    return ConsoleCommand(console, verb, f"hornetos: {done} {token}")
