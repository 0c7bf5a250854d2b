"""The memory of clones of one snapshot on the host, before and after their guests have worked.

The value is the PSS of the median clone: pages of guest RAM that clones share count once over all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from hornet.capacity.at_rest import DENSITY_METRIC
from hornet.capacity.footprint import METRIC, Footprint
from hornet.results.records import Record
from hornet.snapshot import Bundle
from hornet.spec.lane import Lane
from hornet.spec.model import Spec
from hornet.vm.fleet import VM, Fleet
from hornet.vm.lanes import judges_time
from hornet.vm.memory import memory_split

pytestmark = pytest.mark.perf

# What an agent's tools do first: a run of Node.js, and a repository made, cloned and checked.
WORK = ("node",)
WORK_TIMEOUT_S = 120


@pytest.fixture(scope="module")
def clones(fleet: Fleet, bundle: Bundle, spec: Spec) -> Iterator[list[VM]]:
    """Several VMs at once, all from one snapshot."""
    vms = [fleet.restore(bundle) for _ in range(spec.perf.rounds(judged=judges_time(fleet.lane)).clones)]
    yield vms
    for vm in vms:
        fleet.remove(vm)


@pytest.mark.requirement("target-ram", "target-density")
@pytest.mark.parametrize("state", ["restored", "worked"])
def test_memory_of_clones(
    state: str,
    clones: list[VM],
    bundle: Bundle,
    spec: Spec,
    lane: Lane,
    record: Callable[..., Record],
    record_runs: Callable[..., Record],
    restored_subject: dict[str, str],
) -> None:
    if state == "worked":
        with ThreadPoolExecutor() as pool:
            list(pool.map(lambda vm: work(vm, spec), clones))
    splits = [memory_split(vm.vmm.pid, [bundle.memory, *vm.vmm.memory_files()]).parts_mb for vm in clones]
    measured = record_runs(METRIC, splits, subject=restored_subject, clones=len(clones), state=state)
    fitting = Footprint.of_record(measured).vms_in(spec.capacity.available_mb)
    record(DENSITY_METRIC, fitting, lane=lane, dimensions={"state": state}, subject=restored_subject)
    assert measured.parts["guest_private"] + measured.parts["guest_shared"] < spec.machine.memory_mib * 1.048576


def work(vm: VM, spec: Spec) -> None:
    """Use the tools of every agent in a guest."""
    for name in WORK:
        use = spec.tools[name].use
        assert use is not None, f"{name} has no script that uses it"
        result = vm.guest.run(use, WORK_TIMEOUT_S)
        assert result.exit_code == 0, f"{name} in {vm.name}: {result}"
