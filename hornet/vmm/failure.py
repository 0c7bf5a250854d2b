"""A VM's failure, recorded once and told to everyone who waits on the VM.

A VM fails when its VMM ends, its kernel panics or the disk below it is full. Whoever finds that out calls set(); every
wait on the VM (console, SSH, QMP, API) then ends at once with the same error, however long its timeout is.
"""

from __future__ import annotations

import os
import re
import select
import shutil
import signal
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path

import psutil

from hornet.errors import VMError

# From the end of a connection to a VMM until it is known that the VMM has ended.
END_TIMEOUT_S = 2.0
# What to look at when a signal has ended a VMM.
SIGNAL_HINTS = {
    signal.SIGKILL: "if nobody killed it, the kernel did because the host ran out of memory: look at dmesg",
    signal.SIGBUS: "a file that it maps is shorter than it was, or the host has no memory left: look at df and dmesg",
    signal.SIGSYS: "it made a system call that its seccomp filter forbids: look at dmesg",
    signal.SIGXFSZ: "it wrote more to a file than it may: look at the end of its log",
}


# Nothing that a guest or a VMM does to itself: somebody on the host, or the kernel that is out of memory.
# SIGBUS: a page of a file that it maps can't be had, as on a full tmpfs.
FROM_OUTSIDE = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGBUS)
# QEMU's last words where it was asked to end; its exit code is 0 then.
ASKED_TO_END = re.compile(r"terminating on signal \d+")
# QEMU's own words where the host gave it too little; its exit code is 1 then.
HOST_LACKS = re.compile(
    r"^qemu-system-\w+: .*(Cannot allocate memory|No space left on device|Too many open files|temporarily unavailable)",
    re.MULTILINE,
)


class VMFailedError(VMError):
    """A VM failed. short: one line for those who meet the same failure later.

    by_host: the host ended it, or has no space left: that says nothing about what runs in it.
    started: its VMM was up before. One that never was has not looked at what it is to run.
    """

    def __init__(self, message: str, hint: str, short: str, *, by_host: bool = False, started: bool = True) -> None:
        super().__init__(message, hint)
        self.short = short
        self.by_host = by_host
        self.started = started


class FailureSignal:
    """Whether a VM has failed, and why. The first reason stands; the VM's removal is one, too."""

    def __init__(self, vm_name: str) -> None:
        self.vm_name = vm_name
        # Of the VMM, once it is started.
        self.pid: int | None = None
        # The VMM has answered once.
        self.started = False
        self._lock = threading.Lock()
        self._known = threading.Event()
        self._reason = self._hint = self._last_words = ""
        self._by_host = False
        self._listeners: list[Callable[[], None]] = []

    @property
    def failed(self) -> bool:
        """Whether the VM has failed."""
        return self._known.is_set()

    def set(self, reason: str, hint: str = "", last_words: str = "", *, by_host: bool = False) -> None:
        """Record a failure and tell all listeners. reason: what the VM did, as in "was removed"."""
        with self._lock:
            if self._known.is_set():
                return
            self._reason, self._hint, self._last_words, self._by_host = reason, hint, last_words, by_host
            self._known.set()
            listeners, self._listeners = self._listeners, []
        for listener in listeners:
            listener()

    def on_failure(self, listener: Callable[[], None]) -> None:
        """Have `listener` called once, on any thread, when the VM fails; at once if it has failed. It must not wait."""
        with self._lock:
            if not self._known.is_set():
                self._listeners.append(listener)
                return
        listener()

    def note_exit(self, process: subprocess.Popen[bytes], last_words: Callable[[], str]) -> None:
        """Wait until the VMM, which has closed the VM's serial line, has ended, and record that."""
        if not self.failed:
            returncode, words = await_exit(process), last_words()
            how, hint = describe_exit(returncode)
            by_host = -returncode in FROM_OUTSIDE or bool(ASKED_TO_END.search(words) or HOST_LACKS.search(words))
            self.set(f"failed: its VMM (process {process.pid}) {how}", hint, words, by_host=by_host)

    def note_disk_error(self, disk: Path, reason: str) -> None:
        """Record that the VMM stopped the VM because it could not write its disk."""
        free_mb = shutil.disk_usage(disk.parent).free // 1_000_000
        self.set(
            f"stands still: its disk could not be written ({reason}): {disk.parent} has {free_mb} MB free",
            f"free space in {disk.parent}, then start the VM anew",
            by_host=True,
        )

    def wait(self, timeout_s: float) -> bool:
        """Wait for a failure that is about to be known: whether it is."""
        return self._known.wait(timeout_s)

    def error(self, doing: str = "") -> VMFailedError:
        """The error for whoever was doing that, as in "waiting for port 22"."""
        what = f"VM {self.vm_name} {self._reason}"
        message = f"{what} (noticed while {doing})" if doing else what
        if self._last_words:
            message += f"\n{self._last_words}"
        short = f"{what}; it can't be used any more"
        return VMFailedError(message, self._hint, short, by_host=self._by_host, started=self.started)

    def check(self, doing: str = "") -> None:
        """Raises VMFailedError if the VM has failed."""
        if self.failed:
            raise self.error(doing)

    def stopped(self) -> str:
        """For the message of a timeout: that the VMM is stopped, if it is; else nothing."""
        try:
            status = psutil.Process(self.pid).status() if self.pid else ""
        except psutil.NoSuchProcess:
            return ""
        if status not in (psutil.STATUS_STOPPED, psutil.STATUS_TRACING_STOP):
            return ""
        return f"; its VMM (process {self.pid}) is stopped (state T): `kill -CONT {self.pid}` lets it go on"


def await_exit(process: subprocess.Popen[bytes]) -> int:
    """Wait until a process has ended; returns its Popen.returncode.

    Not by Popen.wait() alone: whoever kills the process calls that meanwhile.
    """
    try:
        fd = os.pidfd_open(process.pid)
    except ProcessLookupError:  # it was waited for already
        return process.wait()
    try:
        ended = select.poll()
        ended.register(fd, select.POLLIN)
        ended.poll()
    finally:
        os.close(fd)
    return process.wait()


def describe_exit(returncode: int) -> tuple[str, str]:
    """How a process ended, by its Popen.returncode, as in "was killed by SIGKILL"; and what to look at."""
    if returncode >= 0:
        return f"ended with exit code {returncode}", "read the last lines of its log"
    try:
        number = signal.Signals(-returncode)
    except ValueError:  # a real-time signal has no name
        return f"was killed by signal {-returncode}", ""
    return f"was killed by {number.name}", SIGNAL_HINTS.get(number, "")
