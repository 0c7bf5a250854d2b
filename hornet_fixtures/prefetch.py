"""Guests are asked ahead of the tests, several at once, so that they work while tests judge.

A fixture named in START_ORDER hands work on guests to `workers` and is a Future of the result. The first test that
needs it waits for it; if the work failed, that test fails with its error.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Any

import pytest
from _pytest.outcomes import OutcomeException

from hornet.vm.fleet import Fleet

# In the order in which they are begun, so that two processors are busy to the end: one with the tools, which take as
# long as the rest, and with what may wait for them.
START_ORDER = (
    "tool_facts_future",
    "parent_future",
    "read_only_root_future",
    "lineage_future",
    "mutable_vm_future",
    "facts_future",
)
# In the order in which they are done.
COMPLETION_ORDER = (
    "read_only_root_future",
    "parent_future",
    "lineage_future",
    "tool_facts_future",
    "facts_future",
    "mutable_vm_future",
)
FUTURES = pytest.StashKey[list["Future[Any]"]]()


@pytest.fixture(scope="session")
def workers(fleet: Fleet) -> Iterator[ThreadPoolExecutor]:
    """As many threads as there are processors: an emulated guest keeps one busy."""
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        yield pool
        pool.shutdown(wait=False, cancel_futures=True)
        # Of an interrupted run: a question ends with the VM that was asked.
        fleet.close()


def begin_all(request: pytest.FixtureRequest) -> None:
    """Begin everything that any collected test will need.

    Not on a worker of pytest-xdist: it does not know which of them it will get, and begins what each needs by itself.
    """
    if hasattr(request.config, "workerinput"):
        return
    needed = {name for item in request.session.items for name in getattr(item, "fixturenames", ())}
    futures = request.config.stash.setdefault(FUTURES, [])
    for name in START_ORDER:
        if name in needed:
            try:
                futures.append(request.getfixturevalue(name))
            except (Exception, OutcomeException):
                continue  # pytest keeps it for the test that needs this


def await_all(config: pytest.Config) -> None:
    """Wait until nothing that was begun is still going on."""
    begun: list[Future[Any]] = config.stash.get(FUTURES, [])
    wait(begun)


def place_in_line(item: pytest.Item) -> int:
    """Where a test stands that must not wait while others need not: 0 for those that ask no guest."""
    needed = getattr(item, "fixturenames", ())
    return max((place for place, name in enumerate(COMPLETION_ORDER, start=1) if name in needed), default=0)
