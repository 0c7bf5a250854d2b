"""What each file of a snapshot contains (guide: Snapshot Anatomy)."""

from __future__ import annotations

from hornet.checks.check import check
from hornet.spec.snapshots import SnapshotFiles

MIB = 1 << 20
MB = 1_000_000


@check("snapshot_files")
def part_problems(names: SnapshotFiles, *, memory_mib: int, memory_bytes: int, state_bytes: int) -> list[str]:
    """The memory file contains all of the memory, the state file only CPU and devices."""
    problems = []
    if memory_bytes != memory_mib * MIB:
        problems.append(
            f"{names.memory_file}: {memory_bytes} bytes, expected {memory_mib * MIB}: {memory_mib} MiB of guest memory"
        )
    if state_bytes > names.state_max_mb * MB:
        problems.append(
            f"{names.state_file}: {state_bytes / MB:.1f} MB, at most {names.state_max_mb:g} MB allowed: "
            "CPU and device state is small, so the file must contain guest memory"
        )
    return problems
