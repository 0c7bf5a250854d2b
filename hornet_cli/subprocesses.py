"""Runs the programs that a command delegates to, in the checkout if there is one. A signal ends both."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Mapping, Sequence
from typing import IO

from hornet.installation import IN_CHECKOUT, SOURCE

# A shell sets SIGINT to be ignored in background jobs, and the program would inherit that.
INTERRUPTED_WITH_US = ("env", "--default-signal=INT", "setpriv", "--pdeathsig", "INT")


def call(argv: Sequence[str], environment: Mapping[str, str] | None = None, output: IO[str] | None = None) -> int:
    """Run a program to its end and return its exit code. environment, output: instead of this process's.

    If a signal ends this process, the program gets one SIGINT and cleans up, and this process waits for it. If this
    process is killed, the kernel sends the SIGINT. The terminal's Ctrl-C does not reach the program, which has its own
    session.
    """
    where = SOURCE if IN_CHECKOUT else None
    process = subprocess.Popen(
        [*INTERRUPTED_WITH_US, *argv], cwd=where, env=environment, stdout=output, start_new_session=True
    )
    try:
        return process.wait()
    except KeyboardInterrupt:
        process.send_signal(signal.SIGINT)
        process.wait()
        raise
