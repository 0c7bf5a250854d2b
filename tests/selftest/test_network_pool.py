"""The pool of preallocated namespaces: two threads never get the same one, and none is lost."""

from __future__ import annotations

import threading
import time
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from unittest.mock import Mock

import pytest

from hornet.errors import NetworkError
from hornet.network import NamespacePool, VMNamespace

THREADS, ROUNDS = 16, 20
TIMEOUT_S = 30


class Ids:
    """Ids, and which of them are held."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._next = 0
        self.held: set[int] = set()

    def take(self) -> int:
        with self._lock:
            self._next += 1
            self.held.add(self._next)
            return self._next

    def release(self, vm_id: int) -> None:
        with self._lock:
            self.held.remove(vm_id)


class Host:
    """Namespaces that are there, by id."""

    def __init__(self) -> None:
        self.there: set[int] = set()

    def create_many(self, vm_ids: list[int]) -> list[Mock]:
        self.there.update(vm_ids)
        return [Mock(vm_id=vm_id) for vm_id in vm_ids]

    def remove_many(self, vms: list[Mock]) -> None:
        self.there.difference_update(vm.vm_id for vm in vms)


class Switching(deque[VMNamespace]):
    """Other threads run whenever somebody looks whether anything is in it."""

    def __len__(self) -> int:
        length = super().__len__()
        time.sleep(0.0001)
        return length


def pool_of(host: Host, ids: Ids) -> NamespacePool:
    pool = NamespacePool(host, ids)  # type: ignore[arg-type]  # they have what the pool uses
    pool._ready = Switching()
    return pool


def test_many_threads_each_get_a_namespace_of_their_own() -> None:
    host, ids = Host(), Ids()
    pool = pool_of(host, ids)
    with ThreadPoolExecutor(THREADS) as threads:
        for _ in range(ROUNDS):
            pool.fill(THREADS // 2)
            taking = [threads.submit(pool.take) for _ in range(THREADS)]
            assert len({future.result(TIMEOUT_S).vm_id for future in taking}) == THREADS
    assert len(host.there) >= THREADS * ROUNDS


def test_closing_removes_no_namespace_that_is_taken_meanwhile(monkeypatch: pytest.MonkeyPatch) -> None:
    host, ids = Host(), Ids()
    pool = pool_of(host, ids)
    pool.fill(3)
    taken: list[int] = []

    def remove_many(vms: list[Mock]) -> None:
        taken.append(pool.take().vm_id)
        Host.remove_many(host, vms)

    monkeypatch.setattr(host, "remove_many", remove_many)
    pool.close()
    assert host.there == ids.held == set(taken)


def test_a_pool_that_cannot_be_closed_keeps_its_namespaces(monkeypatch: pytest.MonkeyPatch) -> None:
    host, ids = Host(), Ids()
    pool = pool_of(host, ids)
    pool.fill(3)
    with monkeypatch.context() as failing:
        failing.setattr(host, "remove_many", Mock(side_effect=NetworkError("busy", "wait")))
        with pytest.raises(NetworkError, match="busy"):
            pool.close()
    assert len(pool) == len(ids.held) == 3
    pool.close()
    assert host.there == ids.held == set()
