"""A snapshot full of agents and its clones, shared by all tests of hazards: see hornet/scenarios/lineage.py."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from hornet.host.file_copy import PRIVATE_DIRECTORY_MODE
from hornet.host.owned import work_directory
from hornet.host.workspace import Workspace
from hornet.scenarios.lineage import Clone, Lineage, Parent, restore_clone, restore_grandchild, snapshot_parent
from hornet.snapshot import Bundle
from hornet.spec.model import Spec
from hornet.vm.fleet import Fleet
from hornet_fixtures.prefetch import prefetched


@pytest.fixture(scope="session")
def lineage_workspace(workspace: Workspace) -> Iterator[Workspace]:
    """Where the family's snapshots are: they are removed with the test run, or by the next one if it is killed."""
    with work_directory(workspace.run, "lineage", PRIVATE_DIRECTORY_MODE) as directory:
        yield Workspace(directory)


@pytest.fixture(scope="session")
@prefetched(start_s=1, done_s=9)
def parent_future(
    workers: ThreadPoolExecutor, fleet: Fleet, bundle: Bundle, lineage_workspace: Workspace
) -> Future[Parent]:
    """The first generation."""
    return workers.submit(snapshot_parent, fleet, bundle, lineage_workspace)


@pytest.fixture(scope="session")
@prefetched(start_s=13, done_s=20)
def lineage_future(
    workers: ThreadPoolExecutor, fleet: Fleet, parent_future: Future[Parent], lineage_workspace: Workspace, spec: Spec
) -> Future[Lineage]:
    """The next two. Each waits for what was begun before it, so that at least one worker never waits."""

    def clone(*, snapshottable: bool) -> Clone:
        return restore_clone(fleet, parent_future.result(), snapshottable=snapshottable)

    clones = [workers.submit(clone, snapshottable=number == 0) for number in range(spec.hazards.clones)]

    def complete() -> Lineage:
        raised = [begun.result() for begun in clones]
        return Lineage(parent_future.result(), raised, restore_grandchild(fleet, raised[0], lineage_workspace))

    return workers.submit(complete)


@pytest.fixture(scope="session")
def lineage(lineage_future: Future[Lineage]) -> Lineage:
    """The family, all that are left of it paused."""
    return lineage_future.result()
