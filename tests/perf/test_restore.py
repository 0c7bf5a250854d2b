"""Restore by phases, with a hot and a cold page cache (guide: Target Metrics).

Two records: `restore_to_command`, everything from the seal's check to the first command by SSH, and
`snapshot_restore`, the guide's own metric: what loading a snapshot and resuming takes, as the VMM's client sees it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from hornet.host.conditions import keeps_no_cold_files
from hornet.host.owned import work_directory
from hornet.host.page_cache import drop, resident_share, warm
from hornet.host.phases import timed
from hornet.host.workspace import Workspace
from hornet.results.records import Record
from hornet.snapshot import Bundle
from hornet.spec.model import Spec
from hornet.vm.fleet import VM, Fleet
from hornet.vm.lanes import judges_time

pytestmark = pytest.mark.perf

# A cold cache still holds what was read to check the seal: pages of the superblock, read ahead.
MOST_COLD_SHARE = 0.05


@pytest.fixture(scope="module")
def own_bundle(bundle: Bundle, workspace: Workspace) -> Iterator[Bundle]:
    """A copy of the snapshot: the page cache would keep pages that other clones have mapped."""
    with work_directory(workspace.run, "perf") as directory:
        yield bundle.copied_to(directory)


@pytest.mark.requirement("target-restore")
@pytest.mark.parametrize("page_cache", ["hot", "cold"])
def test_restore(
    page_cache: str,
    benchmark: Any,
    fleet: Fleet,
    own_bundle: Bundle,
    spec: Spec,
    describe: Callable[..., None],
    record_runs: Callable[..., Record],
) -> None:
    describe("restore_to_command", page_cache=page_cache)
    if page_cache == "cold" and keeps_no_cold_files(own_bundle.directory):
        pytest.skip("not judged: HORNET_HOME is in memory (tmpfs), so nothing is ever cold; set it to a disk")
    running: list[VM] = []
    phases: list[dict[str, float]] = []
    reported: list[dict[str, float]] = []
    prepare = drop if page_cache == "cold" else warm

    def set_up() -> None:
        fleet.preallocate_networks(1)  # preallocated, as in production; docs/network.md says what it costs
        prepare(own_bundle.files)
        if page_cache == "cold":
            share = resident_share(own_bundle.files)
            assert share <= MOST_COLD_SHARE, (
                f"{share:.0%} of the snapshot is still in the page cache: not a cold restore"
            )

    def restore() -> None:
        vm = fleet.restore(own_bundle)
        running.append(vm)
        with timed(vm.phases_ms, "first_command_ms"):
            vm.guest.wait_ready(spec.machine.ssh_timeout_s)

    def tear_down() -> None:
        vm = running.pop()
        phases.append(vm.phases_ms)
        load_ms = vm.vmm.reported_load_ms()
        reported.extend([{"load_ms": load_ms}] if load_ms is not None else [])
        fleet.remove(vm)

    benchmark.pedantic(
        restore, setup=set_up, teardown=tear_down, rounds=spec.perf.rounds(judged=judges_time(fleet.lane)).restore
    )
    record_runs("restore_to_command", phases, page_cache=page_cache)
    of_the_guide = [{name: run[name] for name in ("load_ms", "resume_ms")} for run in phases]
    record_runs("snapshot_restore", of_the_guide, page_cache=page_cache)
    if reported:
        record_runs("load_by_the_vmms_own_word", reported, page_cache=page_cache)
