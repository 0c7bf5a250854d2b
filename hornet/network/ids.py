"""Allocates VM ids, unique among all processes that use one HORNET_HOME."""

from __future__ import annotations

import fcntl
import heapq
import os
import struct
import threading
from pathlib import Path
from typing import BinaryIO

from hornet.errors import NetworkError
from hornet.host.owned import is_owned
from hornet.host.workspace import Workspace

IDS_FILE = "ids.lock"
# struct flock of fcntl(2): type, whence, start, length, pid.
FLOCK = struct.Struct("@hhqqi4x")


def vms_directory(workspace: Workspace) -> Path:
    """The parent of the VM directories. Its owner locks each one; it has vm.json, console.log and vmm.log."""
    return workspace.directory("run", "vms", private=True)


class VMIds:
    """Ids 1 … largest.

    An id is a lock on the byte of that number in one file. So the ids of a dead process are free again, a thousand ids
    need one descriptor, and taking one has constant cost. If somebody deletes the file, the locked directory of a VM
    still shows that its id is in use.

    vm_name: the pattern for the name of VM n and of its directory.
    """

    def __init__(self, workspace: Workspace, largest: int, vm_name: str = "vm{n}") -> None:
        self._home = workspace
        self._vm_name = vm_name
        self._file = self._open()
        self._largest = largest
        self._held: set[int] = set()
        self._given_back: list[int] = []  # a heap
        self._next = 1
        self._lock = threading.Lock()

    def take(self) -> int:
        """Take a free id, small ones first. Raises NetworkError if all are in use."""
        with self._lock:
            self._take_up_new_file()
            while self._given_back:
                vm_id = heapq.heappop(self._given_back)
                if self._try(vm_id):
                    return vm_id
            # The second round finds ids that other processes released since the first.
            for _ in range(2):
                while self._next <= self._largest:
                    self._next += 1
                    if self._try(self._next - 1):
                        return self._next - 1
                self._next = 1
        raise NetworkError(f"all VM ids 1 … {self._largest} are in use", "end some VMs, or raise network.max_vm_id")

    def try_take(self, vm_id: int) -> bool:
        """Take this id if it is free; returns whether it was."""
        with self._lock:
            self._take_up_new_file()
            return self._try(vm_id)

    def release(self, vm_id: int) -> None:
        """Release an id."""
        with self._lock:
            self._held.remove(vm_id)
            self._set(vm_id, fcntl.F_UNLCK)
            heapq.heappush(self._given_back, vm_id)

    def _try(self, vm_id: int) -> bool:
        if vm_id in self._held:
            return False
        try:
            self._set(vm_id, fcntl.F_WRLCK)
        except BlockingIOError:
            return False
        if is_owned(vms_directory(self._home) / self._vm_name.format(n=vm_id)):
            self._set(vm_id, fcntl.F_UNLCK)
            return False
        self._held.add(vm_id)
        return True

    def _open(self) -> BinaryIO:
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        return os.fdopen(os.open(self._home.run / IDS_FILE, flags, 0o644), "r+b")

    def _take_up_new_file(self) -> None:
        """If somebody deleted the file, lock the same ids in the new one that other processes use."""
        try:
            if os.path.samestat((self._home.run / IDS_FILE).lstat(), os.fstat(self._file.fileno())):
                return
        except FileNotFoundError:
            pass
        self._file.close()
        self._file = self._open()
        for vm_id in self._held:
            try:
                self._set(vm_id, fcntl.F_WRLCK)
            except BlockingIOError:
                continue  # another process has it too; the locked directory decides which of them may start the VM

    def _set(self, vm_id: int, kind: int) -> None:
        # A lock of the open file description: a lock of the process would end when any descriptor of it is closed.
        fcntl.fcntl(self._file, fcntl.F_OFD_SETLK, FLOCK.pack(kind, os.SEEK_SET, vm_id, 1, 0))
