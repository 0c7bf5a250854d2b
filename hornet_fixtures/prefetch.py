"""Every guest query that the collected tests need is started in the background, several at once.

A fixture marked @prefetched hands its work to `workers` and returns a Future. The first test that needs the result
waits for it; if the work failed, that test fails with its error.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import Any, TypeVar

import pytest
from _pytest.outcomes import OutcomeException

from hornet.vm.fleet import Fleet

Function = TypeVar("Function", bound=Callable[..., Any])


@dataclass(frozen=True)
class Timeline:
    """When a fixture's work is started and done in a whole run, in seconds: measured with two emulated guests at once.

    Only the order counts. Fixtures are requested in the order of start_s, so that both processors are busy to the end,
    and nothing blocks a worker by waiting for work that is queued behind it. Tests run in the order of done_s.
    """

    start_s: float
    done_s: float


_TIMELINES: dict[str, Timeline] = {}


def prefetched(*, start_s: float, done_s: float) -> Callable[[Function], Function]:
    """Register a fixture function, below its @pytest.fixture: the only thing to do for a new one. See Timeline."""

    def register(function: Function) -> Function:
        _TIMELINES[function.__name__] = Timeline(start_s, done_s)
        return function

    return register


FUTURES = pytest.StashKey[list["Future[Any]"]]()


@pytest.fixture(scope="session")
def workers(fleet: Fleet) -> Iterator[ThreadPoolExecutor]:
    """As many threads as there are processors: an emulated guest keeps one busy."""
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        yield pool
        pool.shutdown(wait=False, cancel_futures=True)
        # Of an interrupted run: a question ends with the VM that was asked.
        fleet.close()


def start_all(request: pytest.FixtureRequest) -> None:
    """Start everything that any collected test needs.

    Not on a worker of pytest-xdist: it does not know which tests it will get, and starts what each needs by itself.
    """
    if hasattr(request.config, "workerinput"):
        return
    needed = {name for item in request.session.items for name in _prefetched_by(item)}
    futures = request.config.stash.setdefault(FUTURES, [])
    for name in sorted(needed, key=lambda name: _TIMELINES[name].start_s):
        try:
            futures.append(request.getfixturevalue(name))
        except (Exception, OutcomeException):
            continue  # pytest keeps it for the test that needs this


def await_all(config: pytest.Config) -> None:
    """Wait until everything that was started is done."""
    started: list[Future[Any]] = config.stash.get(FUTURES, [])
    wait(started)


def ready_s(item: pytest.Item) -> float:
    """When everything that a test waits for is done; 0 for tests that ask no guest. Sorting by it, no test blocks."""
    return max((_TIMELINES[name].done_s for name in _prefetched_by(item)), default=0)


def _prefetched_by(item: pytest.Item) -> list[str]:
    return [name for name in getattr(item, "fixturenames", ()) if name in _TIMELINES]
