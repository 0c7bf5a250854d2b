"""VM ids, handed out so that no two VMs of a home have the same one, across processes."""

from __future__ import annotations

from pathlib import Path

from filelock import FileLock, Timeout

from hornet.errors import NetworkError
from hornet.home import Home


class VMIds:
    """Ids 1 … largest. An id is held by a locked file, so that a process that dies gives its ids back."""

    def __init__(self, home: Home, largest: int) -> None:
        self._directory = home.run / "ids"
        self._largest = largest
        self._held: dict[int, FileLock] = {}

    def take(self) -> int:
        """The smallest free id. Raises NetworkError when all are taken."""
        for vm_id in range(1, self._largest + 1):
            if self.try_take(vm_id):
                return vm_id
        raise NetworkError(f"all VM ids 1 … {self._largest} are taken", "end some VMs, or raise network.max_vm_id")

    def release(self, vm_id: int) -> None:
        """Give an id back."""
        self._held.pop(vm_id).release()

    def try_take(self, vm_id: int) -> bool:
        """Take this very id, if nobody has it."""
        if vm_id in self._held:
            return False
        self._directory.mkdir(exist_ok=True)
        lock = FileLock(self._path(vm_id))
        try:
            lock.acquire(blocking=False)
        except Timeout:
            return False
        self._held[vm_id] = lock
        return True

    def _path(self, vm_id: int) -> Path:
        return self._directory / f"{vm_id}.lock"
