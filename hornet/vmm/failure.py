"""A VM's failure, recorded once and reported to everything that waits on the VM.

A VM fails when its VMM ends, its kernel panics or the host's disk is full. The code that detects the failure calls
set(). Every wait on the VM (console, SSH, QMP, API) then ends immediately with the same error, however long its timeout
is.
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
from hornet.host.file_copy import mount_point

# How long to wait, after a connection to a VMM has ended, for the end of the VMM itself.
END_TIMEOUT_S = 2.0
# What to look at when a signal has ended a VMM.
SIGNAL_HINTS = {
    signal.SIGKILL: "if no one killed it, the kernel killed it because the host ran out of memory: look at dmesg",
    signal.SIGBUS: "a file that it maps was truncated, or the host is out of memory: look at df and dmesg",
    signal.SIGSYS: "it made a system call that its seccomp filter forbids: look at dmesg",
    signal.SIGXFSZ: "it wrote more to a file than it may: look at the end of its log",
}


# A guest or VMM does not cause these itself: they come from someone on the host, or from the kernel without memory.
# SIGBUS: a page of a mapped file is not available, as on a full tmpfs.
FROM_OUTSIDE = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGBUS)
# QEMU's last message when it was asked to end. Its exit code is then 0.
ASKED_TO_END = re.compile(r"terminating on signal \d+")
# QEMU's message when the host lacks a resource. Its exit code is then 1.
HOST_LACKS = re.compile(
    r"^qemu-system-\w+: .*(Cannot allocate memory|No space left on device|Too many open files|temporarily unavailable)",
    re.MULTILINE,
)


class VMFailedError(VMError):
    """A VM failed. short: one line for later reports of the same failure.

    by_host: the host ended the VM, or has no space left. Such a failure says nothing about the guest.
    started: the VMM was up before the failure. A VMM that never was up has not read the files it should run.
    """

    def __init__(self, message: str, hint: str, short: str, *, by_host: bool = False, started: bool = True) -> None:
        super().__init__(message, hint)
        self.short = short
        self.by_host = by_host
        self.started = started


class FailureSignal:
    """Whether a VM has failed, and why. Only the first reason is kept. Removing the VM is a reason too."""

    def __init__(self, vm_name: str) -> None:
        self.vm_name = vm_name
        # The VMM's process id, once it is started.
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
        """Record a failure and call all listeners. reason: what the VM did, as in "was removed"."""
        with self._lock:
            if self._known.is_set():
                return
            self._reason, self._hint, self._last_words, self._by_host = reason, hint, last_words, by_host
            self._known.set()
            listeners, self._listeners = self._listeners, []
        for listener in listeners:
            listener()

    def on_failure(self, listener: Callable[[], None]) -> None:
        """Call `listener` once, on any thread, when the VM fails, or now if it has failed. It must not block."""
        with self._lock:
            if not self._known.is_set():
                self._listeners.append(listener)
                return
        listener()

    def note_exit(self, process: subprocess.Popen[bytes], last_words: Callable[[], str]) -> None:
        """Wait until the VMM, which has closed the VM's serial line, has ended, and record its exit."""
        if not self.failed:
            returncode, words = await_exit(process), last_words()
            how, hint = describe_exit(returncode)
            by_host = -returncode in FROM_OUTSIDE or bool(ASKED_TO_END.search(words) or HOST_LACKS.search(words))
            self.set(f"failed: its VMM (process {process.pid}) {how}", hint, words, by_host=by_host)

    def note_disk_error(self, disk: Path, reason: str) -> None:
        """Record that the VMM stopped the VM because it could not write its disk."""
        full = mount_point(disk)
        free_mb = shutil.disk_usage(full).free // 1_000_000
        self.set(
            f"was paused: its disk could not be written ({reason}): {full} has {free_mb} MB free",
            f"free space in {full}, then start the VM again",
            by_host=True,
        )

    def wait(self, timeout_s: float) -> bool:
        """Wait for a failure that is expected soon. Returns whether the VM has failed."""
        return self._known.wait(timeout_s)

    def error(self, doing: str = "") -> VMFailedError:
        """The error to raise. doing: what the caller was doing, as in "waiting for port 22"."""
        what = f"VM {self.vm_name} {self._reason}"
        message = f"{what} (noticed while {doing})" if doing else what
        if self._last_words:
            message += f"\n{self._last_words}"
        short = f"{what}; it can no longer be used"
        return VMFailedError(message, self._hint, short, by_host=self._by_host, started=self.started)

    def check(self, doing: str = "") -> None:
        """Raises VMFailedError if the VM has failed."""
        if self.failed:
            raise self.error(doing)

    def stopped(self) -> str:
        """A suffix for the message of a timeout that says that the VMM is stopped; "" if it is not."""
        try:
            status = psutil.Process(self.pid).status() if self.pid else ""
        except psutil.NoSuchProcess:
            return ""
        if status not in (psutil.STATUS_STOPPED, psutil.STATUS_TRACING_STOP):
            return ""
        return f"; its VMM (process {self.pid}) is stopped (state T): `kill -CONT {self.pid}` resumes it"


def await_exit(process: subprocess.Popen[bytes]) -> int:
    """Wait until a process has ended; returns its Popen.returncode.

    Popen.wait() alone is not enough: the thread that kills the process calls it at the same time.
    """
    try:
        fd = os.pidfd_open(process.pid)
    except ProcessLookupError:  # already reaped
        return process.wait()
    try:
        ended = select.poll()
        ended.register(fd, select.POLLIN)
        ended.poll()
    finally:
        os.close(fd)
    return process.wait()


def describe_exit(returncode: int) -> tuple[str, str]:
    """From a Popen.returncode: how the process ended, as in "was killed by SIGKILL", and a hint."""
    if returncode >= 0:
        return f"ended with exit code {returncode}", "read the last lines of its log"
    try:
        number = signal.Signals(-returncode)
    except ValueError:  # a real-time signal has no name
        return f"was killed by signal {-returncode}", ""
    return f"was killed by {number.name}", SIGNAL_HINTS.get(number, "")
