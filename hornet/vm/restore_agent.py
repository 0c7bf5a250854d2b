"""Freezes a guest before a snapshot and refreshes it after a restore: the host's half of /etc/hornetos/agent.

Every clone of a snapshot starts from the same memory, with the same random number generator, clock and identity. So the
guest's processes are frozen before the snapshot, and thawed after the restore when the guest has a new seed and the
time from the host. Commands go over the serial line, or over vsock where production turns that off. Both need neither
network nor SSH, whose keys would come from the old random numbers.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass

from hornet.errors import VMError
from hornet.vmm.driver import OrderLine
from hornet.vmm.failure import VMFailedError

SEED_BYTES = 32
# This file exists in a guest whose half runs.
AGENT_FILE = "/run/hornetos/agent.pid"
# It waited too long for the line, or thought so: a clock that jumps at a restore ends its wait, even within the line.
THAWED = "hornetos: thawed"


@dataclass(frozen=True)
class AgentCommand:
    """A command that was sent to the guest. resend: sends it once more, with the present values."""

    line: OrderLine
    verb: str
    answer: str
    resend: Callable[[], None] | None = None

    def wait(self, timeout_s: float) -> None:
        """Wait until the guest reports that it is done. Raises VMError if it does not."""
        try:
            if not self.resend:
                self.line.wait_for(self.answer, timeout_s)
            elif self.line.wait_for(f"{self.answer}|{THAWED}", timeout_s)[0] == THAWED:
                # This ends a line of which it got a part only. If it got all of it after all, it ignores the next one.
                self.line.send("\n")
                self.resend()
                self.line.wait_for(self.answer, timeout_s)
        except VMFailedError:
            raise
        except VMError as error:
            raise VMError(
                f"the guest did not answer the command {self.verb!r}: {error.message}",
                "check that /etc/hornetos/agent runs in it",
                timed_out=error.timed_out,
            ) from error


def freeze(line: OrderLine) -> AgentCommand:
    """Tell the guest to freeze all its processes. Raises VMError."""
    token = _new_token()
    _send(line, "freeze", token)
    return AgentCommand(line, "freeze", _answer("frozen", token))


def refresh(line: OrderLine) -> AgentCommand:
    """Send the guest the time and a new seed; it then thaws its processes. Raises VMError."""
    token = _new_token()

    def send() -> None:
        _send(line, "refresh", token, f"{time.time():.9f}", secrets.token_hex(SEED_BYTES))

    send()
    return AgentCommand(line, "refresh", _answer("refreshed", token), send)


def _new_token() -> str:
    return secrets.token_hex(4)


def _send(line: OrderLine, verb: str, *words: str) -> None:
    line.send(f"{' '.join(('hornetos', verb, *words))}\n")


def _answer(done: str, token: str) -> str:
    # Not only at the start of a line: text that was being printed at the snapshot comes first.
    return f"hornetos: {done} {token}"
