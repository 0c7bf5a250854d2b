"""Restore by phases, with a hot and a cold page cache (guide: Target Metrics).

Two records: `restore_to_command`, everything from the seal's check to the first command by SSH, and
`snapshot_restore`, the guide's own metric: what loading a snapshot and resuming takes, as the VMM's client sees it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from hornet.errors import HornetError
from hornet.host.conditions import keeps_no_cold_files
from hornet.host.owned import work_directory
from hornet.host.page_cache import drop, resident_share, warm
from hornet.host.phases import timed
from hornet.host.workspace import Workspace
from hornet.results.records import UNEXPLAINED, Failure, Record
from hornet.snapshot import Bundle
from hornet.spec.model import Spec
from hornet.vm.fleet import VM, Fleet
from hornet.vm.lanes import judges_time

pytestmark = pytest.mark.perf

# A cold cache still holds what was read to check the seal: pages of the superblock, read ahead.
MOST_COLD_SHARE = 0.05
# What a client of the VMM waits for.
GUIDE_PHASES = ("load_ms", "resume_ms")


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
    restored_subject: dict[str, str],
) -> None:
    describe("restore_to_command", page_cache=page_cache)
    if page_cache == "cold" and keeps_no_cold_files(own_bundle.directory):
        pytest.skip("not judged: HORNET_HOME is in memory (tmpfs), so nothing is ever cold; set it to a disk")
    running: list[VM] = []
    phases: list[dict[str, float]] = []
    reported: list[dict[str, float]] = []
    failures: list[Failure] = []
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
        began_ns = time.perf_counter_ns()
        try:
            running.append(fleet.restore(own_bundle))
            first_command(running[0], spec.machine.ssh_timeout_s)
        except HornetError as error:
            failures.append(Failure.of_error(len(phases) + len(failures), error))
            return
        wall_ms = (time.perf_counter_ns() - began_ns) / 1e6
        explained = running[0].phases_ms
        phases.append({**explained, UNEXPLAINED: max(0.0, wall_ms - sum(explained.values()))})

    def tear_down() -> None:
        for vm in running:
            load_ms = vm.vmm.reported_load_ms()
            reported.extend([{"load_ms": load_ms}] if load_ms is not None else [])
            fleet.remove(vm)
        running.clear()

    benchmark.pedantic(
        restore, setup=set_up, teardown=tear_down, rounds=spec.perf.rounds(judged=judges_time(fleet.lane)).restore
    )
    about: dict[str, Any] = {"subject": restored_subject, "page_cache": page_cache}
    failed = [f"restore {failure.number}, {failure.phase}: {failure.reason}" for failure in failures]
    assert phases, f"every restore failed: {failed}"
    whole = record_runs("restore_to_command", phases, failures=failures, **about)
    of_the_guide = [{name: run[name] for name in GUIDE_PHASES} for run in phases]
    record_runs("snapshot_restore", of_the_guide, failures=failures, **about)
    if reported:
        record_runs("load_by_the_vmms_own_word", reported, **about)
    # Only now: the other restores are recorded all the same.
    assert not failed, f"{len(failed)} of {len(failed) + len(phases)} restores failed: {failed}"
    assert whole.unexplained_share <= spec.perf.max_unexplained_share, (
        f"no phase explains {whole.unexplained_share:.1%} of the restores: {whole.runs}"
    )


def first_command(vm: VM, timeout_s: float) -> None:
    """Wait until a first command has run. Raises GuestError with the phases until then."""
    try:
        with timed(vm.phases_ms, "first_command_ms"):
            vm.guest.wait_ready(timeout_s)
    except HornetError as error:
        error.phases_ms = vm.phases_ms
        raise
