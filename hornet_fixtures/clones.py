"""A snapshot with running agents, and its clones. All tests of hazards share them: see hornet/scenarios/lineage.py."""

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
    """The workspace of the lineage's snapshots. It is removed with the test run, or by the next run if it is killed."""
    with work_directory(workspace.run, "lineage", PRIVATE_DIRECTORY_MODE) as directory:
        yield Workspace(directory)


@pytest.fixture(scope="session")
@prefetched(start_s=1, done_s=9)
def parent_future(
    workers: ThreadPoolExecutor, fleet: Fleet, bundle: Bundle, lineage_workspace: Workspace
) -> Future[Parent]:
    """The first generation: the parent."""
    return workers.submit(snapshot_parent, fleet, bundle, lineage_workspace)


@pytest.fixture(scope="session")
@prefetched(start_s=13, done_s=20)
def lineage_future(
    workers: ThreadPoolExecutor, fleet: Fleet, parent_future: Future[Parent], lineage_workspace: Workspace, spec: Spec
) -> Future[Lineage]:
    """The next two generations. Each waits only for work submitted before it, so the workers cannot deadlock."""

    def clone(*, snapshottable: bool) -> Clone:
        return restore_clone(fleet, parent_future.result(), snapshottable=snapshottable)

    clones = [workers.submit(clone, snapshottable=number == 0) for number in range(spec.hazards.clones)]

    def complete() -> Lineage:
        restored = [future.result() for future in clones]
        return Lineage(parent_future.result(), restored, restore_grandchild(fleet, restored[0], lineage_workspace))

    return workers.submit(complete)


@pytest.fixture(scope="session")
def lineage(lineage_future: Future[Lineage]) -> Lineage:
    """The lineage. Every VM of it that still exists is paused."""
    return lineage_future.result()
