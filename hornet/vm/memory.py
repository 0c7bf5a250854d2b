"""The memory of a VM: PSS by mapping, with guest RAM separated from the VMM's own by the mapping's path.

PSS counts a page that n processes share as 1/n page in each, so the PSS of all VMs adds up to what they take.
RSS would count every shared page of guest RAM again in every clone. What is swapped out counts as private memory: the
VM wrote it, and takes it again when it reads it. Left out is what only an emulator has: the code
that it has translated, in memory that is written and run, up to the size of its cache.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import asdict, dataclass
from pathlib import Path

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
    mappings = _mappings_of(pid)
    files = {str(path) for path in guest_memory}
    sums_kib = {"guest_private": 0, "guest_shared": 0, "vmm_private": 0, "vmm_shared": 0}
    for mapping in mappings:
        owner = "guest" if mapping.path in files else "vmm"
        sums_kib[f"{owner}_private"] += mapping.private_kib + mapping.swapped_kib
        sums_kib[f"{owner}_shared"] += mapping.pss_kib - mapping.private_kib
    if not any(mapping.path in files for mapping in mappings):
        raise VMError(
            f"process {pid} maps none of {', '.join(sorted(files)) or 'no files given'}",
            "name the file that guest RAM is mapped from: the snapshot's for a clone, its own else",
        )
    return MemorySplit(**{name: amount * 1024 / BYTES_PER_MB for name, amount in sums_kib.items()})


def pss_mb(pid: int) -> float:
    """The PSS of a VMM process in MB, of guest RAM and its own memory together. Raises VMError as memory_split()."""
    return sum(mapping.pss_kib + mapping.swapped_kib for mapping in _mappings_of(pid)) * 1024 / BYTES_PER_MB


def _mappings_of(pid: int) -> list[Mapping]:
    """All but an emulator's translated code."""
    try:
        smaps = Path(f"/proc/{pid}/smaps").read_text(errors="surrogateescape")
    except OSError as error:
        raise VMError(
            f"process {pid}: its memory cannot be read: {error.strerror}", "run as root, while the VM runs"
        ) from error
    return [mapping for mapping in read_mappings(smaps) if not mapping.permissions.startswith(TRANSLATED)]


@dataclass(frozen=True)
class Mapping:
    """One mapping of a process, from smaps (proc_pid_smaps(5)). path: without the mark of a deleted file."""

    path: str
    permissions: str
    pss_kib: int
    private_kib: int
    swapped_kib: int


def read_mappings(smaps: str) -> list[Mapping]:
    """The mappings in the text of /proc/<pid>/smaps. (psutil leaves out the share of what is swapped out.)"""
    found = []
    # Each mapping begins with its range of addresses and ends before the next.
    for block in re.split(r"^(?=[0-9a-f]+-[0-9a-f]+ )", smaps, flags=re.MULTILINE)[1:]:
        header, _, lines = block.partition("\n")
        _, permissions, _, _, _, *path = header.split(None, 5)
        kib = {name: int(amount) for name, amount in re.findall(r"^(\w+): +(\d+) kB$", lines, re.MULTILINE)}
        found.append(
            Mapping(
                path="".join(path).removesuffix(DELETED),
                permissions=permissions,
                pss_kib=kib["Pss"],
                private_kib=kib["Private_Clean"] + kib["Private_Dirty"],
                # Memory that is a file (memfd) has no SwapPss; it belongs to one VM, so Swap is its share.
                swapped_kib=kib.get("SwapPss", 0) or kib.get("Swap", 0),
            )
        )
    return found
