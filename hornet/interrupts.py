"""Signals that reach the main thread whatever it waits for.

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

# Ignored by default, used by nobody here, and a handler in Python makes it interrupt system calls.
NUDGE = signal.SIGURG
# Several: on a busy machine the main thread may not have begun its wait yet. Later ones find nothing left to do.
NUDGE_DELAYS_S = (0.05, 0.2, 0.5, 2.0)

_installed = False


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
