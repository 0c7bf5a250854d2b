"""Interrupts the emulated host at a steady pace, so that it never waits for an interrupt that was lost.

QEMU's emulation of SVM can lose one. When a guest is entered and left, `helper_vmrun` and `do_vmexit`
(target/i386/tcg/system/svm_helper.c of QEMU 10.0) change the processor's pending interrupts without the lock that
devices hold while they raise one. The interrupt controller still has it, and delivers it with the next. But if the lost
one was the timer's, the emulated host has no next: it sets its timer when the last one has fired.
"""

from __future__ import annotations

import socket
import threading

INTERVAL_S = 0.25


class Nudge:
    """Sends a byte to a port of the emulated host every INTERVAL_S, on a thread of its own."""

    def __init__(self, port: socket.socket) -> None:
        self._port = port
        self._port.setblocking(False)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._send, name="nudge", daemon=True)
        self._thread.start()

    def end(self) -> None:
        """Send no more."""
        self._ended.set()
        self._thread.join()

    def _send(self) -> None:
        while not self._ended.wait(INTERVAL_S):
            try:
                self._port.send(b"\n")
            except BlockingIOError:
                continue  # it is full: nobody reads it yet
            except OSError:
                return  # QEMU has ended
