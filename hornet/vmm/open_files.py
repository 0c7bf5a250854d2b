"""Proves by a VMM's open files that it writes to its own disk and to nobody else's.

A snapshot's device state may name the disk by its path. The VMM then opens that file, which may be the original that
other clones start from.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from hornet.errors import HostError, SnapshotError

PROC = Path("/proc")


def check_own_disk(pid: int, disk: Path) -> None:
    """Check the process before it runs a guest: `disk` is open for writing, and no other file outside its directory.

    Raises SnapshotError if not, HostError if the process can't be read.
    """
    own = disk.stat()
    written = list(_written_files(pid))
    in_directory = set(_files_in(disk.parent))
    # A file without a name, such as memfd, is nobody's disk.
    strangers = [path for path, found in written if found.st_nlink and _identity(found) not in in_directory]
    if strangers:
        raise SnapshotError(
            f"process {pid}, restored with the disk {disk}, has opened {strangers[0]} for writing",
            "the snapshot's state names that path: take the snapshot again with the disk given by its file name only",
        )
    if not any(os.path.samestat(found, own) for _, found in written):
        raise SnapshotError(
            f"process {pid}, restored with the disk {disk}, has not opened it for writing",
            "the snapshot's state has no disk, or a read-only one: boot its image and take it again",
        )


def _identity(found: os.stat_result) -> tuple[int, int]:
    return found.st_dev, found.st_ino


def _files_in(directory: Path) -> Iterator[tuple[int, int]]:
    """The files in the VM's directory, by their inodes: a VMM in a jail opens them under other paths."""
    yield from (_identity(path.lstat()) for path in directory.rglob("*"))


def _written_files(pid: int) -> Iterator[tuple[str, os.stat_result]]:
    """The path and state of every regular file that a process has open for writing, and of every block device."""
    try:
        numbers = os.listdir(PROC / str(pid) / "fd")
    except OSError as error:
        raise HostError(f"process {pid}: its open files can't be read: {error.strerror}", "run as root") from error
    for number in numbers:
        link = PROC / str(pid) / "fd" / number
        try:
            found, flags = link.stat(), (PROC / str(pid) / "fdinfo" / number).read_text()
            path = os.readlink(link)
        except FileNotFoundError:  # closed meanwhile
            continue
        mode = int(next(line for line in flags.splitlines() if line.startswith("flags:")).split()[1], 8)
        if mode & os.O_ACCMODE != os.O_RDONLY and (stat.S_ISREG(found.st_mode) or stat.S_ISBLK(found.st_mode)):
            yield path, found
