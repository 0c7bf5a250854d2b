"""The memory of a VM: PSS by mapping, with guest RAM separated from the VMM's own by the mapping's path.

PSS counts a page that n processes share as 1/n page in each, so the PSS of all VMs adds up to what they take.
RSS would count every shared page of guest RAM again in every clone. Left out is what only an emulator has: the code
that it has translated, in memory that is written and run, up to the size of its cache.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

from hornet.errors import VMError

BYTES_PER_MB = 1_000_000
DELETED = " (deleted)"
# The permissions of an emulator's translated code. (A VMM under KVM has no such memory.)
TRANSLATED = "rwx"


@dataclass(frozen=True)
class MemorySplit:
    """The PSS of one VMM process in MB, in four disjoint parts. Shared: pages that other processes map too."""

    guest_private: float
    guest_shared: float
    vmm_private: float
    vmm_shared: float

    @property
    def parts_mb(self) -> dict[str, float]:
        """The parts by name, for a Record."""
        return asdict(self)


def memory_split(pid: int, guest_memory: Collection[Path]) -> MemorySplit:
    """Read /proc/<pid>/smaps of a VMM. guest_memory: the files that guest RAM is mapped from.

    Raises VMError when the process is gone, may not be read, or maps none of the files: then nothing could
    be told apart.
    """
    try:
        mappings = psutil.Process(pid).memory_maps(grouped=False)
    except (psutil.Error, OSError) as error:
        raise VMError(f"process {pid}: its memory cannot be read: {error}", "run as root, while the VM runs") from error
    files = {str(path) for path in guest_memory}
    sums_bytes = {"guest_private": 0, "guest_shared": 0, "vmm_private": 0, "vmm_shared": 0}
    for mapping in mappings:
        if mapping.perms.startswith(TRANSLATED):
            continue
        owner = "guest" if mapping.path.removesuffix(DELETED) in files else "vmm"
        private = mapping.private_clean + mapping.private_dirty
        sums_bytes[f"{owner}_private"] += private
        sums_bytes[f"{owner}_shared"] += mapping.pss - private
    if not any(mapping.path.removesuffix(DELETED) in files for mapping in mappings):
        raise VMError(
            f"process {pid} maps none of {', '.join(sorted(files)) or 'no files given'}",
            "name the file that guest RAM is mapped from: the snapshot's for a clone, its own else",
        )
    return MemorySplit(**{name: amount / BYTES_PER_MB for name, amount in sums_bytes.items()})
