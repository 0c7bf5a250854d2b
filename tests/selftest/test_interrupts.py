"""A signal that was noted while the main thread was about to wait ends that wait."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest

from hornet.installation import SOURCE

# The handler of the C level runs in another thread: the main thread's wait is not interrupted, as if the signal had
# come just before it.
SCRIPT = """
import signal, subprocess, sys, threading, time
from concurrent.futures import Future
from hornet.host.interrupts import deliver_signals_promptly

if DELIVER:
    deliver_signals_promptly()
signal.signal(signal.SIGTERM, signal.default_int_handler)
other = threading.Thread(target=time.sleep, args=(60,), daemon=True)
other.start()
threading.Timer(0.5, lambda: signal.pthread_kill(other.ident, signal.SIGNAL)).start()
try:
    WAIT
except KeyboardInterrupt:
    print("interrupted", flush=True)
"""
TIMEOUT_S = 60
ENDLESS_S = 3600
WAITS = {
    "an event": "threading.Event().wait(WAIT_S)",
    "a future": "Future().result(WAIT_S)",
    "a process": "subprocess.run(['sleep', 'WAIT_S'], stdout=subprocess.DEVNULL)",
    "a sleep": "time.sleep(WAIT_S)",
}


def waited_s(wait: str, name: str, *, deliver: bool, wait_s: int) -> tuple[float, str]:
    script = SCRIPT.replace("WAIT\n", f"{WAITS[wait]}\n").replace("WAIT_S", str(wait_s))
    script = script.replace("DELIVER", str(deliver)).replace("SIGNAL)", f"{name})")
    began_s = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "PYTHONPATH": str(SOURCE)},
        stdout=subprocess.PIPE,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    return time.monotonic() - began_s, done.stdout


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
@pytest.mark.parametrize("wait", WAITS)
def test_a_signal_ends_any_wait(wait: str, name: str) -> None:
    _, said = waited_s(wait, name, deliver=True, wait_s=ENDLESS_S)
    assert said == "interrupted\n"


def test_wait_without_the_handler_ignores_the_signal() -> None:
    """The control: without the handler, Python leaves the main thread waiting."""
    took_s, _ = waited_s("an event", "SIGINT", deliver=False, wait_s=4)
    assert took_s > 4


# The signal comes while a text is run, as it is when a dataclass is made.
IN_A_TEXT = """
import os, signal, sys
from hornet.host.interrupts import end_on_signals, ended_by
end_on_signals()
try:
    exec("import time; os.kill(os.getpid(), signal.SIGTERM); time.sleep(10)")
except KeyboardInterrupt:
    sys.exit(128 + ended_by())
"""
AT_THE_END = """
import os, signal, time
from hornet.host.interrupts import end_on_signals, listen_no_more
end_on_signals()
listen_no_more()
os.kill(os.getpid(), signal.SIGTERM)
time.sleep(10)
"""


@pytest.mark.parametrize(("script", "code"), [(IN_A_TEXT, 143), (AT_THE_END, -15)], ids=["in a text", "at the end"])
def test_the_exit_code_is_that_of_the_signal(script: str, code: int) -> None:
    environment = {**os.environ, "PYTHONPATH": str(SOURCE)}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (code, b"")
