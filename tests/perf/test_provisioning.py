"""What a VM gets before its VMM starts, each part apart: a network (pooled or fresh), directory, disk, seal."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from hornet.host.page_cache import warm
from hornet.results.records import Record
from hornet.snapshot import Bundle
from hornet.spec.lane import Lane
from hornet.spec.model import Spec
from hornet.vm.fleet import Fleet
from hornet.vm.lanes import judges_time

pytestmark = pytest.mark.perf

PARTS = ("namespace_ms", "seal_ms", "compatibility_ms", "directory_ms", "disk_ms")


@pytest.mark.parametrize("network", ["pooled", "fresh"])
def test_provisioning_of_a_vm(
    network: str,
    new_fleet: Callable[..., Fleet],
    bundle: Bundle,
    lane: Lane,
    spec: Spec,
    record_runs: Callable[..., Record],
    restored_subject: dict[str, str],
) -> None:
    runs = []
    warm(bundle.files)
    with new_fleet() as fleet:
        for _ in range(spec.perf.rounds(judged=judges_time(lane)).restore):
            fleet.preallocate_networks(1 if network == "pooled" else 0)
            vm = fleet.restore(bundle)
            runs.append({part: vm.phases_ms[part] for part in PARTS})
            fleet.remove(vm)
    record_runs("provisioning", runs, subject=restored_subject, network=network)
