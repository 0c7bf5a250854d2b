"""A snapshot full of witnesses and its clones, shared by all tests of hazards: see hornet/scenarios/lineage.py."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from hornet.host.file_copy import PRIVATE_DIRECTORY_MODE
from hornet.host.owned import work_directory
from hornet.host.workspace import Home
from hornet.scenarios.lineage import Clone, Family, Parent, raise_clone, raise_grandchild, raise_parent
from hornet.snapshot import Bundle
from hornet.spec.model import Spec
from hornet.vm.fleet import Fleet


@pytest.fixture(scope="session")
def family_home(home: Home) -> Iterator[Home]:
    """Where the family's snapshots are: they are removed with the test run, or by the next one if it is killed."""
    with work_directory(home.run, "family", PRIVATE_DIRECTORY_MODE) as directory:
        yield Home(directory)


@pytest.fixture(scope="session")
def begun_parent(workers: ThreadPoolExecutor, fleet: Fleet, bundle: Bundle, family_home: Home) -> Future[Parent]:
    """The first generation."""
    return workers.submit(raise_parent, fleet, bundle, family_home)


@pytest.fixture(scope="session")
def begun_family(
    workers: ThreadPoolExecutor, fleet: Fleet, begun_parent: Future[Parent], family_home: Home, spec: Spec
) -> Future[Family]:
    """The next two. Each waits for what was begun before it, so that at least one worker never waits."""

    def clone(*, own_memory: bool) -> Clone:
        return raise_clone(fleet, begun_parent.result(), own_memory=own_memory)

    clones = [workers.submit(clone, own_memory=number == 0) for number in range(spec.hazards.clones)]

    def complete() -> Family:
        raised = [begun.result() for begun in clones]
        return Family(begun_parent.result(), raised, raise_grandchild(fleet, raised[0], family_home))

    return workers.submit(complete)


@pytest.fixture(scope="session")
def family(begun_family: Future[Family]) -> Family:
    """The family, all that are left of it paused."""
    return begun_family.result()
