"""Clones of one snapshot: each has its own disk, and all share the snapshot's memory pages."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from hornet.checks.check import check
from hornet.vm.memory import MemorySplit


@check("clone_disks")
def disk_problems(disks: Mapping[str, Path], snapshot_disk: Path) -> list[str]:
    """Disks that two VMs share, also under two names, or that are the snapshot's own. disks: by VM."""
    owners: dict[tuple[int, int], str] = {_inode(snapshot_disk): "the snapshot"}
    problems = []
    for vm, disk in disks.items():
        owner = owners.setdefault(_inode(disk), vm)
        if owner != vm:
            problems.append(f"{vm}: its disk {disk} is also the disk of {owner}")
    return problems


@check("clone_memory")
def sharing_problems(vm: str, memory: MemorySplit) -> list[str]:
    """A clone that shares no memory pages with the others."""
    if memory.guest_shared > 0:
        return []
    return [f"{vm}: shares no memory pages with other clones: {memory.guest_private:.1f} MB are private"]


def _inode(path: Path) -> tuple[int, int]:
    found = path.stat()
    return found.st_dev, found.st_ino
