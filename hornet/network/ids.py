"""VM ids, handed out so that no two VMs of a home have the same one, across processes."""

from __future__ import annotations

import fcntl
import heapq
import os
import struct
import threading

from hornet.errors import NetworkError
from hornet.home import Home

# struct flock of fcntl(2): type, whence, start, length, pid.
FLOCK = struct.Struct("@hhqqi4x")


class VMIds:
    """Ids 1 … largest.

    An id is held by a lock on the byte of that number in one file, so that a process that dies gives its ids back,
    and a thousand ids take one descriptor. Taking one costs the same however many are held.
    """

    def __init__(self, home: Home, largest: int) -> None:
        self._file = (home.run / "ids.lock").open("ab")
        self._largest = largest
        self._held: set[int] = set()
        self._given_back: list[int] = []  # a heap
        self._next = 1
        self._lock = threading.Lock()

    def take(self) -> int:
        """A free id, small ones first. Raises NetworkError when all are taken."""
        with self._lock:
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
        self._held.add(vm_id)
        return True

    def _set(self, vm_id: int, kind: int) -> None:
        # A lock of the open file description: those of the process would end when any of its files is closed.
        fcntl.fcntl(self._file, fcntl.F_OFD_SETLK, FLOCK.pack(kind, os.SEEK_SET, vm_id, 1, 0))
