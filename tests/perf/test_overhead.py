"""The suite's own overhead: how long loading a snapshot takes, and how long without the suite.

Firecracker reports its own time. QEMU is measured with a minimal client.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable
from contextlib import suppress

import pytest

from hornet.host.page_cache import warm
from hornet.host.progress import Progress
from hornet.results.overhead import overhead_ms, overhead_problem
from hornet.results.records import Record
from hornet.snapshot import Bundle
from hornet.spec.lane import Lane
from hornet.spec.model import Spec
from hornet.vm.fleet import VM, Fleet
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
    warm(bundle.files)
    suite_ms, raw_ms = [], []

    def measure(vm: VM) -> None:
        suite_ms.append(vm.phases_ms["load_ms"])
        raw_ms.append(_minimal_load_ms(vm, bundle))
        raise _MeasuredError

    for _ in range(spec.perf.overhead_loads):
        with suppress(_MeasuredError):
            fleet.restore(bundle, before_resume=measure)
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
    # It says nothing about the image, so it fails no run.
    if problem := overhead_problem(suite_ms, raw_ms, spec.perf):
        progress.say(problem)


class _MeasuredError(Exception):
    """Ends a restore before its guest runs: only the load is measured."""


def _minimal_load_ms(vm: VM, bundle: Bundle) -> float:
    """How long the load takes by the VMM's own word, else by a minimal client. The VM ends for that."""
    reported_ms = vm.vmm.reported_load_ms()
    if reported_ms is not None:
        return reported_ms
    # The same network, disk and directory once more, without the suite's VMM.
    vm.vmm.kill()
    return raw_load_ms(vm.vmm.lane, vm.vmm.config, bundle.memory, bundle.state)
