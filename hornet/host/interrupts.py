"""Signals that end a run: what they do, and that they reach the main thread whatever it waits for.

CPython notes a signal and handles it when the main thread next runs Python code. A signal that arrives just before the
main thread begins a wait (a lock, waitpid, a sleep), or in another thread, interrupts nothing: Ctrl-C then does nothing
until that wait ends, be it minutes. A thread therefore hears of each signal through a file descriptor
(`signal.set_wakeup_fd`) and interrupts the main thread's wait with a signal that does nothing by itself.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from types import FrameType

# Ignored by default, used by nobody here, and a handler in Python makes it interrupt system calls.
NUDGE = signal.SIGURG
# Several: on a busy machine the main thread may not have begun its wait yet. Later ones find nothing left to do.
NUDGE_DELAYS_S = (0.05, 0.2, 0.5, 2.0)

# What the signals that end a run are called in the one line that says so.
ENDING = {signal.SIGINT: "interrupted", signal.SIGTERM: "terminated", signal.SIGHUP: "hung up"}
# A signal that is repeated within this time does not interrupt the clean-up that the first one has begun.
CLEAN_UP_S = 20.0

_installed = _finishing = False
_first: signal.Signals | None = None
_raised_s = 0.0
_before: list[Callable[[], None]] = []


class Interrupted(KeyboardInterrupt):
    """A signal ends the run.

    Not KeyboardInterrupt itself: if one leaves a text that exec() or eval() runs (a dataclass that is being made),
    CPython ends the process by SIGINT later, whatever its exit code was to be (run_eval_code_obj() in pythonrun.c).
    """


def end_on_signals() -> None:
    """Let SIGINT, SIGTERM and SIGHUP end this process by an Interrupted in its main thread. Call it there.

    One that is ignored stays so: nohup(1), and shells for what runs in the background, mean it.
    """
    for number in ENDING:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _interrupt)
    deliver_signals_promptly()


def listen_no_more() -> None:
    """Let these signals end the process at once again: all is done, and nothing would handle an Interrupted."""
    for number in ENDING:
        if signal.getsignal(number) is _interrupt:
            signal.signal(number, signal.SIG_DFL)


def finish_in_spite_of_signals() -> None:
    """The run is done and only reports: the first signal is noted and raises nothing, as if the clean-up had begun."""
    global _finishing
    _finishing = True


def before_interrupt(call: Callable[[], None]) -> None:
    """Have a function called in the main thread when the first signal comes. It must be quick and wait for nobody."""
    _before.append(call)


def ended_by() -> signal.Signals | None:
    """The first signal that came, if one did."""
    return _first


def last_line(number: signal.Signals) -> str:
    """The line that says that a signal has ended the run."""
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
    """Make signals of this process end any wait of its main thread, within NUDGE_DELAYS_S. Call it in that thread."""
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
