"""What each file of a snapshot holds (guide: Snapshot Anatomy)."""

from __future__ import annotations

from hornet.checks.check import check
from hornet.spec.snapshots import SnapshotFiles

MIB = 1 << 20
MB = 1_000_000


@check("snapshot_files")
def part_problems(names: SnapshotFiles, *, memory_mib: int, memory_bytes: int, state_bytes: int) -> list[str]:
    """The memory file holds all of the memory, the state file devices and CPU only."""
    problems = []
    if memory_bytes != memory_mib * MIB:
        problems.append(
            f"{names.memory_file}: {memory_bytes} bytes, expected {memory_mib * MIB}: the memory of {memory_mib} MiB"
        )
    if state_bytes > names.state_max_mb * MB:
        problems.append(
            f"{names.state_file}: {state_bytes / MB:.1f} MB, at most {names.state_max_mb:g} MB: "
            "CPU and devices take little, so memory must be in it"
        )
    return problems
