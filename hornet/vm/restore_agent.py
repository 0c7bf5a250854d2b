"""Freezes a guest before a snapshot and refreshes it after a restore: the host's half of /etc/hornetos/agent.

Every clone of a snapshot starts from the same memory, with the same random number generator, clock and identity. So the
guest's processes are frozen before the snapshot, and thawed after the restore when the guest has a new seed and the
time from the host. Commands go over the serial line, which needs neither network nor SSH: their keys would come from
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
# This file exists in a guest whose half runs.
AGENT_FILE = "/run/hornetos/agent.pid"


@dataclass(frozen=True)
class ConsoleCommand:
    """A command that was sent to the guest."""

    console: Console
    verb: str
    answer: str

    def wait(self, timeout_s: float) -> None:
        """Wait until the guest reports that it is done. Raises VMError if it does not."""
        try:
            self.console.wait_for(self.answer, timeout_s)
        except VMFailedError:
            raise
        except VMError as error:
            raise VMError(
                f"the guest did not answer the command {self.verb!r}: {error.message}",
                "check that /etc/hornetos/agent runs in it",
                timed_out=error.timed_out,
            ) from error


def freeze(console: Console) -> ConsoleCommand:
    """Tell the guest to freeze all its processes. Raises VMError."""
    return _order(console, "freeze", "frozen")


def refresh(console: Console) -> ConsoleCommand:
    """Send the guest the time and a new seed; it then thaws its processes. Raises VMError."""
    return _order(console, "refresh", "refreshed", f"{time.time():.9f}", secrets.token_hex(SEED_BYTES))


def _order(console: Console, verb: str, done: str, *values: str) -> ConsoleCommand:
    token = secrets.token_hex(4)
    console.send(f"{' '.join(('hornetos', verb, token, *values))}\n")
    # Not only at the start of a line: text that was being printed at the snapshot comes first.
    return ConsoleCommand(console, verb, f"hornetos: {done} {token}")
