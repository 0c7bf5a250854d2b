"""The suite's own overhead: how long loading a snapshot takes, and how long with a minimal client of the same VMM."""

from __future__ import annotations

import statistics
from collections.abc import Callable

import pytest

from hornet.host.page_cache import warm
from hornet.host.progress import Progress
from hornet.results.overhead import overhead_ms, overhead_problem
from hornet.results.records import Record
from hornet.snapshot import Bundle
from hornet.spec.lane import Lane
from hornet.spec.model import Spec
from hornet.vm.fleet import Fleet
from hornet.vm.lanes import judges_time
from hornet.vmm.qemu.raw_client import raw_load_ms

pytestmark = pytest.mark.perf


def test_overhead_of_a_snapshot_load(
    fleet: Fleet,
    bundle: Bundle,
    lane: Lane,
    spec: Spec,
    progress: Progress,
    record: Callable[..., Record],
    restored_subject: dict[str, str],
) -> None:
    if lane.vmm != "qemu":
        pytest.skip(f"not judged: {lane.vmm} itself reports how long a load took: load_by_the_vmms_own_word")
    warm(bundle.files)
    suite_ms, raw_ms = [], []
    for _ in range(spec.perf.overhead_loads):
        vm = fleet.restore(bundle)
        suite_ms.append(vm.phases_ms["load_ms"])
        # The same network, disk and directory once more, without the suite's VMM.
        vm.vmm.kill()
        raw_ms.append(raw_load_ms(lane, vm.vmm.config, bundle.memory, bundle.state))
        fleet.remove(vm)
    for client, samples in (("suite", suite_ms), ("minimal", raw_ms)):
        record(
            "load_by_client",
            statistics.median_low(samples),
            samples=samples,
            lane=lane,
            dimensions={"client": client},
            subject=restored_subject,
        )
    added_ms, raw_median_ms = overhead_ms(suite_ms, raw_ms), statistics.median(raw_ms)
    progress.say(f"the suite adds {added_ms:.2f} ms to a load of {raw_median_ms:.2f} ms")
    if judges_time(lane):
        assert not overhead_problem(suite_ms, raw_ms, spec.perf)
