"""The host's memory for clones of one snapshot that run at once, idle and after an agent's step.

Clones are started until the memory of the guide's host is used, or as many as the plan says. `ram_per_vm` is the PSS of
the median clone, `ram_per_working_vm` that after the step: pages of guest RAM that clones share count once over all of
them. `vms_per_16gb` is judged only if so many clones ran, each after its step; otherwise it is a plan.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from hornet.capacity.at_rest import DENSITY_METRIC
from hornet.capacity.footprint import METRIC, WORKING_METRIC, Footprint
from hornet.capacity.slope import slope_of
from hornet.errors import GuestError, HostError
from hornet.host.memory_use import BYTES_PER_MB, host_memory
from hornet.host.page_cache import resident_bytes
from hornet.host.progress import Progress
from hornet.host.workspace import Workspace
from hornet.results.records import KNOWN, PLANNED, RAN, Record
from hornet.scenarios.agent_step import bare_repository, run_step
from hornet.scenarios.density import Ended, Filling, fill
from hornet.snapshot import Bundle
from hornet.spec.lane import Lane
from hornet.spec.model import Spec
from hornet.vm.fleet import VM, Fleet
from hornet.vm.lanes import judges_time
from hornet.vm.memory import memory_split

pytestmark = pytest.mark.perf

NAMES = {"restored": METRIC, "worked": WORKING_METRIC}
ANSWER_TIMEOUT_S = 120
# The disks of clones are copies where the file system has no reflinks. They must not fill it.
MAX_SHARE_OF_FREE_DISK = 0.5


@pytest.fixture(scope="module")
def repository(spec: Spec, workspace: Workspace) -> dict[str, bytes]:
    """What each guest clones in its step of an agent's work."""
    return bare_repository(spec.agent_step, workspace.run)


@pytest.fixture
def clones(new_fleet: Callable[..., Fleet]) -> Iterator[Fleet]:
    """A fleet whose VMs end with the test: the next one needs the memory."""
    with new_fleet() as fleet:
        yield fleet


# A full host takes longer than any other test.
@pytest.mark.timeout(3600)
@pytest.mark.requirement("target-ram", "target-density")
@pytest.mark.parametrize("state", NAMES)
def test_memory_of_clones(
    state: str,
    clones: Fleet,
    bundle: Bundle,
    spec: Spec,
    tier_name: str,
    workspace: Workspace,
    repository: dict[str, bytes],
    progress: Progress,
    lane: Lane,
    record: Callable[..., Record],
    record_runs: Callable[..., Record],
    restored_subject: dict[str, str],
) -> None:
    least_free_bytes = shutil.disk_usage(workspace.run).free * (1 - MAX_SHARE_OF_FREE_DISK)

    def start(_: int) -> None:
        if shutil.disk_usage(workspace.run).free < least_free_bytes:
            raise HostError(f"the clones' disks use {MAX_SHARE_OF_FREE_DISK:.0%} of the free disk")
        vm = clones.restore(bundle)
        if state == "worked":
            run_step(vm, spec, tier_name, repository)

    def start_many(count: int) -> None:
        list(pool.map(start, range(count)))

    rounds = spec.perf.rounds(judged=judges_time(lane))
    before = host_memory()
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        filling = fill(
            start_many,
            min(spec.capacity.available_mb, before.available_mb - spec.capacity.host_reserved_mb),
            most=rounds.working_clones if state == "worked" else rounds.clones,
            at_once=os.cpu_count() or 1,
            taken_mb=lambda: max(0.0, before.available_mb - host_memory().available_mb),
        )
        silent = [answer for answer in pool.map(_answer, clones.vms) if answer]
    after = host_memory()
    splits = [memory_split(vm.vmm.pid, [bundle.memory, *vm.vmm.memory_files()]).parts_mb for vm in clones.vms]
    count = len(clones.vms)
    about = {"lane": lane, "subject": restored_subject}
    measured = record_runs(NAMES[state], splits, subject=restored_subject, clones=count, state=state)
    progress.say(f"{state}: {count} clones at once, ended by {filling.ended}: {filling.reason}")
    record("clones_at_once", count, dimensions={"state": state, "ended_by": str(filling.ended)}, **about)
    each = {
        "slab": after.slab_mb - before.slab_mb,
        "page tables": after.page_tables_mb - before.page_tables_mb,
        "kernel stacks": after.kernel_stacks_mb - before.kernel_stacks_mb,
        "page cache of disks": resident_bytes({vm.disk for vm in clones.vms}) / BYTES_PER_MB,
    }
    for kind, taken_mb in each.items():
        # Below zero: other processes gave back more than the clones took.
        record("host_memory_per_clone", max(0.0, taken_mb / count), dimensions={"state": state, "kind": kind}, **about)
    _record_slope(filling, state, record, about, progress)
    _record_density(filling, measured, state, spec, record, about)
    assert not silent, f"{len(silent)} of {count} clones do not answer: {silent[0]}"
    assert measured.parts["guest_private"] + measured.parts["guest_shared"] < spec.machine.memory_mib * 1.048576


def _answer(vm: VM) -> str:
    """Why a guest does not run a command; empty if it does."""
    try:
        result = vm.guest.run("true", ANSWER_TIMEOUT_S)
    except GuestError as error:
        return error.message
    return "" if result.exit_code == 0 else f"{vm.name}: {result}"


def _record_slope(
    filling: Filling, state: str, record: Callable[..., Record], about: dict[str, Any], progress: Progress
) -> None:
    """What one more clone takes of MemAvailable. Other processes change it too: without an interval it says nothing."""
    slope = slope_of(filling.points)
    if slope is None:
        return
    low, high = slope.interval
    progress.say(f"{state}: one more clone takes {slope.mb:.1f} MB of the host, 95 % interval {low:.1f} to {high:.1f}")
    # A block below zero can't be a sample: other processes gave back more than its clones took.
    samples = slope.blocks if min(slope.blocks) >= 0 else []
    dimensions = {"state": state, "kind": "MemAvailable"}
    record("host_memory_per_clone", max(0.0, slope.mb), samples=samples, dimensions=dimensions, **about)


def _record_density(
    filling: Filling, measured: Record, state: str, spec: Spec, record: Callable[..., Record], about: dict[str, Any]
) -> None:
    """How many ran in the memory of the guide's host, each after its step. A plan if that memory was not used, unless
    there are already as many as the target wants."""
    used = filling.ended is Ended.MEMORY and filling.budget_mb == spec.capacity.available_mb
    ran = state == "worked" and (used or filling.fitting >= spec.target(DENSITY_METRIC))
    value = filling.fitting if ran else Footprint.of_record(measured).vms_in(spec.capacity.available_mb)
    record(DENSITY_METRIC, value, dimensions={"state": state, KNOWN: RAN if ran else PLANNED}, **about)
