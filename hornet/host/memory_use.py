"""What the host's memory is used for, from /proc/meminfo (proc_meminfo(5))."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from hornet.errors import HostError

BYTES_PER_MB = 1_000_000
MEMINFO = Path("/proc/meminfo")


@dataclass(frozen=True)
class HostMemory:
    """In MB of 1,000,000 bytes. available: the kernel's estimate of what programs can still take without swapping."""

    available_mb: float
    slab_mb: float
    page_tables_mb: float
    kernel_stacks_mb: float


def host_memory(path: Path = MEMINFO) -> HostMemory:
    """The host's memory now. Raises HostError if the kernel does not show it."""
    kib = {name: int(amount) for name, amount in re.findall(r"^(\w+): +(\d+) kB$", path.read_text(), re.MULTILINE)}
    names = ("MemAvailable", "Slab", "PageTables", "KernelStack")
    if missing := [name for name in names if name not in kib]:
        raise HostError(f"{path}: no {', '.join(missing)}", "measure on a Linux with a /proc of its own")
    return HostMemory(*(kib[name] * 1024 / BYTES_PER_MB for name in names))
