"""Knows for which test or shared fixture a VM was started, so that a failing test shows its own VMs and no others."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, TypeVar

import pytest

T = TypeVar("T")

# What the main thread does: a test's id, or the name of the shared fixture that it sets up. Tests start VMs on threads
# of their own too, which see it here.
_main: list[str] = [""]
# For work that was handed to `workers` and runs while the main thread does something else.
_of_worker: ContextVar[str] = ContextVar("of_worker", default="")


def current_user() -> str:
    """For whom a VM is being started: the id of a test, or the name of a fixture that several tests share."""
    return _of_worker.get() or _main[-1]


class Workers(ThreadPoolExecutor):
    """Runs work for whoever submits it: a VM that it starts belongs to that test or fixture."""

    def submit(self, work: Callable[..., T], /, *arguments: Any, **named: Any) -> Future[T]:
        return super().submit(_work_for, current_user(), work, *arguments, **named)


def _work_for(user: str, work: Callable[..., T], *arguments: Any, **named: Any) -> T:
    token = _of_worker.set(user)
    try:
        return work(*arguments, **named)
    finally:
        _of_worker.reset(token)


def users_of(item: pytest.Item) -> set[str]:
    """Whose VMs a test uses: its own, and those of its fixtures, direct and indirect."""
    return {item.nodeid, *getattr(item, "fixturenames", ())}


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    with _working_for(item.nodeid):
        return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_fixture_setup(
    fixturedef: pytest.FixtureDef[Any], request: pytest.FixtureRequest
) -> Generator[None, object, object]:
    """The VM of a fixture for one test belongs to that test; that of any other to the fixture."""
    with _working_for(_main[-1] if fixturedef.scope == "function" else fixturedef.argname):
        return (yield)


@contextmanager
def _working_for(user: str) -> Iterator[None]:
    _main.append(user)
    try:
        yield
    finally:
        _main.pop()
