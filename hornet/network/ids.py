"""VM ids, handed out so that no two VMs of a home have the same one, across processes."""

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
    """Where each running VM has its directory, locked by its owner, with vm.json, console.log and vmm.log."""
    return workspace.directory("run", "vms", private=True)


class VMIds:
    """Ids 1 … largest.

    An id is held by a lock on the byte of that number in one file, so that a process that dies gives its ids back,
    and a thousand ids take one descriptor. Taking one costs the same however many are held. If somebody deletes the
    file, a VM's directory, which its owner has locked, still says that its id is taken.

    vm_name: what VM n and its directory are called.
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
        """A free id, small ones first. Raises NetworkError when all are taken."""
        with self._lock:
            self._take_up_new_file()
            while self._given_back:
                vm_id = heapq.heappop(self._given_back)
                if self._try(vm_id):
                    return vm_id
            # The second round finds what other processes have given back since the first.
            for _ in range(2):
                while self._next <= self._largest:
                    self._next += 1
                    if self._try(self._next - 1):
                        return self._next - 1
                self._next = 1
        raise NetworkError(f"all VM ids 1 … {self._largest} are taken", "end some VMs, or raise network.max_vm_id")

    def try_take(self, vm_id: int) -> bool:
        """Take this very id, if nobody has it."""
        with self._lock:
            self._take_up_new_file()
            return self._try(vm_id)

    def release(self, vm_id: int) -> None:
        """Give an id back."""
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
        """If somebody deleted the file: hold the same ids in the one that other processes use by now."""
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
                continue  # held by another process too; the directory decides which of them may make the VM

    def _set(self, vm_id: int, kind: int) -> None:
        # A lock of the open file description: those of the process would end when any of its files is closed.
        fcntl.fcntl(self._file, fcntl.F_OFD_SETLK, FLOCK.pack(kind, os.SEEK_SET, vm_id, 1, 0))
