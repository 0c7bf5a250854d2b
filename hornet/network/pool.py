"""A pool of finished namespaces: a VM that starts takes one in microseconds instead of milliseconds."""

from __future__ import annotations

from collections import deque
from contextlib import suppress

from hornet.network.host_side import HostNet, VMNamespace
from hornet.network.ids import VMIds


class NamespacePool:
    """Finished namespaces, each with a VM id of its own.

    What was taken is its taker's: remove() the namespace, then release its id. None is used twice: a namespace that
    held a guest keeps what that guest's connections left in it.
    """

    def __init__(self, host: HostNet, ids: VMIds) -> None:
        self._host = host
        self._ids = ids
        self._ready: deque[VMNamespace] = deque()

    def __len__(self) -> int:
        return len(self._ready)

    def fill(self, count: int) -> None:
        """Fill the pool up to at least `count` namespaces, all created together.

        Raises NetworkError; the pool is then unchanged.
        """
        self._ready.extend(self._make(count - len(self._ready)))

    def take(self) -> VMNamespace:
        """Take a finished namespace, or create one if none is ready. Thread-safe. Raises NetworkError."""
        try:
            return self._ready.popleft()
        except IndexError:
            return self._make(1)[0]

    def close(self) -> None:
        """Remove unused namespaces and release their ids. Raises NetworkError; the pool then still has them."""
        closing: list[VMNamespace] = []
        with suppress(IndexError):
            while True:
                closing.append(self._ready.popleft())
        try:
            self._host.remove_many(closing)
        except BaseException:
            self._ready.extend(closing)
            raise
        for vm in closing:
            self._ids.release(vm.vm_id)

    def _make(self, count: int) -> list[VMNamespace]:
        taken: list[int] = []
        try:
            while len(taken) < count:
                taken.append(self._ids.take())
            return self._host.create_many(taken)
        except BaseException:
            for vm_id in taken:
                self._ids.release(vm_id)
            raise
