"""Start every guest query that the collected tests need in the background, several at once.

A fixture marked @prefetched submits its work to `workers` and returns a Future. The first test that needs the result
waits for it. If the work failed, that test fails with its error.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import pytest
from _pytest.outcomes import OutcomeException

from hornet.vm.fleet import Fleet
from hornet_fixtures.vm_users import Workers

Function = TypeVar("Function", bound=Callable[..., Any])


@dataclass(frozen=True)
class Timeline:
    """When a fixture's work starts and ends in a full run, in seconds.

    Only the order matters. The times are not exact measurements: they were scaled from one run with two emulated guests
    on a busy machine, and rounded so that the order is kept. Fixtures are requested in the order of start_s. This keeps
    both processors busy to the end, and no worker waits for work that is queued behind it. Tests run in the order of
    done_s. quick: its tests are part of a quick run.
    """

    start_s: float
    done_s: float
    quick: bool


_TIMELINES: dict[str, Timeline] = {}


def prefetched(*, start_s: float, done_s: float, quick: bool = False) -> Callable[[Function], Function]:
    """Register a fixture function. Put it below @pytest.fixture; a new fixture needs nothing else. See Timeline."""

    def register(function: Function) -> Function:
        _TIMELINES[function.__name__] = Timeline(start_s, done_s, quick)
        return function

    return register


FUTURES = pytest.StashKey[list["Future[Any]"]]()


@pytest.fixture(scope="session")
def workers(fleet: Fleet) -> Iterator[ThreadPoolExecutor]:
    """One thread per processor: an emulated guest keeps one processor busy."""
    with Workers(len(os.sched_getaffinity(0))) as pool:
        yield pool
        pool.shutdown(wait=False, cancel_futures=True)
        # After an interrupt, probes may still be running. Ending their VMs ends them.
        fleet.close()


def start_all(request: pytest.FixtureRequest) -> None:
    """Start the prefetched fixtures of all collected tests.

    A pytest-xdist worker does nothing here: it does not know its tests in advance. Each test starts its own fixtures.
    """
    if hasattr(request.config, "workerinput"):
        return
    items = [item for item in request.session.items if not item.get_closest_marker("skip")]
    needed = {name for item in items for name in _prefetched_by(item)}
    futures = request.config.stash.setdefault(FUTURES, [])
    for name in sorted(needed, key=lambda name: _TIMELINES[name].start_s):
        try:
            futures.append(request.getfixturevalue(name))
        except (Exception, OutcomeException):
            continue  # pytest caches the error and raises it in the test that needs this fixture


def await_all(config: pytest.Config) -> None:
    """Wait until all started fixtures are done."""
    started: list[Future[Any]] = config.stash.get(FUTURES, [])
    wait(started)


def ready_s(item: pytest.Item) -> float:
    """When the last fixture of a test is done; 0 for a test without a guest. In this order no test blocks another."""
    return max((_TIMELINES[name].done_s for name in _prefetched_by(item)), default=0)


def is_quick(item: pytest.Item) -> bool:
    """Whether a test is part of a quick run: it needs a snapshot's files, and the VMs of quick fixtures at most."""
    needed = _prefetched_by(item)
    if any(not _TIMELINES[name].quick for name in needed):
        return False
    return bool(needed) or not {"restored_vm", "new_fleet", "internet"} & set(getattr(item, "fixturenames", ()))


def sort_by_answers(items: list[pytest.Item], folder: Path) -> None:
    """Put the tests below a folder in the order in which their answers arrive; other tests stay where they are."""
    places = [place for place, item in enumerate(items) if item.path.is_relative_to(folder)]
    mine = sorted((items[place] for place in places), key=ready_s)
    for place, item in zip(places, mine, strict=True):
        items[place] = item


def _prefetched_by(item: pytest.Item) -> list[str]:
    return [name for name in getattr(item, "fixturenames", ()) if name in _TIMELINES]
