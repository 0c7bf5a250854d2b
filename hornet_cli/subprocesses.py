"""Programs that a command hands over to: run in the checkout if there is one, and interrupted with the command."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Sequence

from hornet.installation import IN_CHECKOUT, SOURCE

# A shell ignores SIGINT for what it starts in the background, and the program would inherit that.
INTERRUPTED_WITH_US = ("env", "--default-signal=INT", "setpriv", "--pdeathsig", "INT")


def call(argv: Sequence[str]) -> int:
    """Run a program to its end and give its exit code.

    Whatever signal ends this process, the program gets one SIGINT, cleans up and ends, and this process waits for
    it; also when this process is killed. The terminal's Ctrl-C does not reach it: it has a session of its own.
    """
    where = SOURCE if IN_CHECKOUT else None
    process = subprocess.Popen([*INTERRUPTED_WITH_US, *argv], cwd=where, start_new_session=True)
    try:
        return process.wait()
    except KeyboardInterrupt:
        process.send_signal(signal.SIGINT)
        process.wait()
        raise
