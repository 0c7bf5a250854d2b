"""Taking a snapshot: its phases, how long the VM is paused, and its bytes, by the memory that the guest filled."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from pathlib import Path

import pytest

from hornet.host.owned import work_directory
from hornet.host.workspace import Workspace
from hornet.results.records import Record
from hornet.scenarios.probe_sets import FACTS_TIMEOUT_S
from hornet.snapshot import Bundle
from hornet.spec.lane import Lane
from hornet.spec.model import Spec
from hornet.vm.fleet import Fleet
from hornet.vm.lanes import judges_time
from hornet.vm.snapshotting import PAUSE_PHASES, origin_of_child, take_snapshot

# Slow: a run that judges an image answers within its time without it.
pytestmark = [pytest.mark.perf, pytest.mark.slow, pytest.mark.requirement("cost-measured")]

BYTES_PER_BLOCK = 512  # of st_blocks (stat(2))
BYTES_PER_MB = 1_000_000


def test_cost_of_a_snapshot(
    fleet: Fleet,
    bundle: Bundle,
    lane: Lane,
    spec: Spec,
    workspace: Workspace,
    record: Callable[..., Record],
    record_runs: Callable[..., Record],
    restored_subject: dict[str, str],
) -> None:
    guest_mb: dict[int, float] = {}
    for dirty_mib in spec.perf.snapshots.dirty_mib:
        times, sizes = [], []
        for _ in range(spec.perf.snapshots.rounds(judged=judges_time(lane))):
            with work_directory(workspace.run, "snapshot-cost") as directory:
                phases_ms, taken = _take(fleet, bundle, spec, dirty_mib, Workspace(directory))
                times.append(phases_ms)
                sizes.append({path.name: _allocated_mb(path) for path in (taken.memory, taken.state, taken.rootfs)})
        about = {"subject": restored_subject, "dirty_mib": dirty_mib}
        record_runs("snapshot_creation", times, **about)
        record_runs("snapshot_pause", [{name: phases[name] for name in PAUSE_PHASES} for phases in times], **about)
        for file in sizes[0]:
            mb = [by_file[file] for by_file in sizes]
            dimensions = {"file": file, "dirty_mib": dirty_mib}
            value = statistics.median_low(mb)
            record("snapshot_size", value, samples=mb, lane=lane, dimensions=dimensions, subject=restored_subject)
        guest_mb[dirty_mib] = min(parts[bundle.memory.name] for parts in sizes)
    least, most = min(guest_mb), max(guest_mb)
    assert guest_mb[most] - guest_mb[least] >= (most - least) * 0.9, f"the filled memory is not in it: {guest_mb}"


def _take(
    fleet: Fleet, bundle: Bundle, spec: Spec, dirty_mib: int, target: Workspace
) -> tuple[dict[str, float], Bundle]:
    """The phases of one snapshot of a clone with so much random data in its memory, and the snapshot."""
    vm = fleet.restore(bundle, snapshottable=True)
    vm.guest.check_output(f"head -c {dirty_mib << 20} /dev/urandom >/dev/shm/dirty", FACTS_TIMEOUT_S)
    phases_ms: dict[str, float] = {}
    taken = take_snapshot(vm, target, spec, version="measured", origin=origin_of_child(vm, spec), phases_ms=phases_ms)
    fleet.remove(vm)
    return phases_ms, taken


def _allocated_mb(path: Path) -> float:
    """What a file takes on the disk, without its holes."""
    return path.stat().st_blocks * BYTES_PER_BLOCK / BYTES_PER_MB
