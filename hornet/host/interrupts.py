"""Signals that end a run, and their delivery to the main thread during any wait.

CPython records a signal and handles it when the main thread next runs Python code. A signal that arrives just before
the main thread starts to wait (a lock, waitpid, a sleep), or in another thread, does not interrupt the wait, so Ctrl-C
has no effect until the wait ends. A thread therefore reads each signal from a file descriptor (`signal.set_wakeup_fd`)
and interrupts the main thread with a second signal that has no effect of its own.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from types import FrameType

# Ignored by default and otherwise unused here. A Python handler makes it interrupt system calls.
NUDGE = signal.SIGURG
# Several: on a busy machine the main thread may not have started to wait yet. Superfluous ones have no effect.
NUDGE_DELAYS_S = (0.05, 0.2, 0.5, 2.0)

# The words for each signal in the last line of a run.
ENDING = {signal.SIGINT: "interrupted", signal.SIGTERM: "terminated", signal.SIGHUP: "hung up"}
# A signal that is repeated within this time does not interrupt the clean-up after the first one.
CLEAN_UP_S = 20.0

_installed = _finishing = False
_first: signal.Signals | None = None
_raised_s = 0.0
_before: list[Callable[[], None]] = []


class Interrupted(KeyboardInterrupt):
    """A signal ends the run.

    It is not KeyboardInterrupt itself. If a KeyboardInterrupt leaves code that exec() or eval() runs (such as the
    creation of a dataclass), CPython later kills the process with SIGINT, whatever its exit code
    (run_eval_code_obj() in pythonrun.c).
    """


def end_on_signals() -> None:
    """Make SIGINT, SIGTERM and SIGHUP raise Interrupted in the main thread. Call it there.

    An ignored signal stays ignored: nohup(1) and shells (for background jobs) rely on it.
    """
    for number in ENDING:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _interrupt)
    deliver_signals_promptly()


def listen_no_more() -> None:
    """Restore the default action of these signals: the work is done, and nothing would handle an Interrupted."""
    for number in ENDING:
        if signal.getsignal(number) is _interrupt:
            signal.signal(number, signal.SIG_DFL)


def finish_in_spite_of_signals() -> None:
    """From now on the first signal is only recorded and does not raise: the run is done and only reports."""
    global _finishing
    _finishing = True


def before_interrupt(call: Callable[[], None]) -> None:
    """Register a function to call in the main thread on the first signal. It must be quick and must not wait."""
    _before.append(call)


def ended_by() -> signal.Signals | None:
    """The first signal that arrived, or None."""
    return _first


def last_line(number: signal.Signals) -> str:
    """The last line of a run that a signal ended."""
    return f"hornetos: {ENDING[number]}"


def _interrupt(number: int, frame: FrameType | None) -> None:
    global _first, _raised_s
    if _first and time.monotonic() - _raised_s < CLEAN_UP_S:
        return
    first, _raised_s = _first is None, time.monotonic()
    _first = _first or signal.Signals(number)
    if first:
        for call in _before:
            call()
    if not (first and _finishing):
        raise Interrupted


def deliver_signals_promptly() -> None:
    """Make signals interrupt any wait of the main thread within NUDGE_DELAYS_S. Call it in that thread."""
    global _installed
    if _installed:
        return
    _installed = True
    reader, writer = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
    os.set_blocking(reader, True)
    signal.signal(NUDGE, lambda *_: None)
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    main_thread_id = threading.get_ident()
    threading.Thread(target=_nudge, args=(reader, main_thread_id), name="signals", daemon=True).start()


def _nudge(reader: int, main_thread_id: int) -> None:
    while True:
        if not any(number != NUDGE for number in os.read(reader, 64)):
            continue
        for delay_s in NUDGE_DELAYS_S:
            time.sleep(delay_s)
            signal.pthread_kill(main_thread_id, NUDGE)
