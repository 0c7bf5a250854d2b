"""Programs that a command hands over to: in the checkout, on this terminal, interrupted with it."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Sequence

from hornet.home import CHECKOUT


def call(argv: Sequence[str]) -> int:
    """Run a program to its end and give its exit code. Ctrl-C reaches it by the terminal: it cleans up and ends."""
    process = subprocess.Popen(argv, cwd=CHECKOUT)
    try:
        return process.wait()
    except KeyboardInterrupt:
        process.send_signal(signal.SIGINT)
        process.wait()
        raise
