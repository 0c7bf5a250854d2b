"""Holds VMs that outlive the work for which they were started: for hands, after a failed test.

The kernel kills a VMM when the process that started it ends, and that process has the VM's console and locks. So this
process itself stays, in the background, until each of its kept VMs has ended.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from types import FrameType

from hornet.host.interrupts import ENDING
from hornet.host.workspace import Workspace
from hornet.vm.fleet import VM, Fleet

# linux/prctl.h
PR_SET_PDEATHSIG = 1
POLL_S = 0.2

_libc = ctypes.CDLL(None, use_errno=True)


class RunInChild:
    """Splits this process, so that the run can end for its caller while its VMs go on: see fork_run()."""

    def __init__(self, writer: int) -> None:
        self._writer = writer

    def hand_over(self, exit_code: int) -> None:
        """Give the waiting parent its exit code. The caller goes on in the background."""
        os.write(self._writer, str(exit_code).encode())
        os.close(self._writer)


def fork_run() -> RunInChild | int:
    """Fork. The child gets a RunInChild and does the run; the parent waits and gets the run's exit code.

    The parent forwards the signals that end a run. Call it before the process has a second thread.
    """
    reader, writer = os.pipe()
    parent = os.getpid()
    pid = os.fork()
    if pid == 0:
        os.close(reader)
        end_with_parent(signal.SIGINT)
        if os.getppid() != parent:
            os._exit(1)
        return RunInChild(writer)
    os.close(writer)
    for number in ENDING:
        signal.signal(number, lambda received, _: _forward(pid, received))
    with os.fdopen(reader) as told:
        code = told.read()
    if code:
        return int(code)
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    return status if status >= 0 else 128 - status


def _forward(pid: int, number: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, number)


def end_with_parent(number: signal.Signals | None) -> None:
    """Let the kernel send a signal to this process when its parent ends; None: no longer."""
    _libc.prctl(PR_SET_PDEATHSIG, int(number or 0), 0, 0, 0)


def detach() -> None:
    """Go on in the background: in a session of its own, and without the standard streams, so that their readers end.

    What was printed and is still in a buffer reaches its reader first.
    """
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    end_with_parent(None)
    with suppress(PermissionError):  # it leads a session already
        os.setsid()
    null = os.open(os.devnull, os.O_RDWR)
    standard = [os.fstat(fd) for fd in range(3)]
    for fd in [int(path.name) for path in Path("/proc/self/fd").iterdir()]:
        with suppress(OSError):  # the descriptor of the listing itself
            if any(os.path.samestat(os.fstat(fd), stream) for stream in standard):
                os.dup2(null, fd)


def hold_kept() -> None:
    """Wait until every kept VM has ended, or for a signal that ends a run; then remove what belongs to them."""
    for number in ENDING:
        signal.signal(number, _end)
    try:
        while Fleet.kept:
            for vm in [vm for vm in Fleet.kept if not vm.vmm.alive]:
                vm.fleet.release(vm)
            time.sleep(POLL_S)
    finally:
        for number in ENDING:
            signal.signal(number, signal.SIG_IGN)
        release_kept()


def release_kept() -> None:
    """End every kept VM, and remove what belongs to it."""
    for vm in list(Fleet.kept):
        vm.fleet.release(vm)


def _end(number: int, frame: FrameType | None) -> None:
    raise SystemExit


def how_to_enter(vms: Sequence[VM]) -> list[str]:
    """Lines with the commands that enter, show and end running VMs."""
    lines = []
    for vm in vms:
        hornetos = f"{Workspace.from_env().command_line} vm"
        lines += [
            f"{vm.name} runs in namespace {vm.namespace.name} (VMM: process {vm.vmm.pid})",
            f"  enter it:          {hornetos} ssh {vm.name}",
            f"  read its console:  {hornetos} console {vm.name}",
            f"  end it:            {hornetos} down {vm.name}",
        ]
    return lines


def ssh_command(namespace: str, key: str, address: str) -> list[str]:
    """The words that log in to a guest as root. Every VM has the same address and its own host key."""
    options = ("StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "LogLevel=ERROR", "IdentitiesOnly=yes")
    words = ["ip", "netns", "exec", namespace, "ssh", "-i", key]
    return [*words, *(word for option in options for word in ("-o", option)), f"root@{address}"]
