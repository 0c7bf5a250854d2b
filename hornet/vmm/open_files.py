"""Proves by a VMM's open files that it writes to its own disk and to nobody else's.

A snapshot's device state may name the disk by its path. The VMM then opens that file, which may be the original that
other clones start from. A root file system that clones share is a file in the VMM's memory, which it can't write.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from hornet.errors import HostError, SnapshotError

PROC = Path("/proc")


def check_own_disk(pid: int, disk: Path) -> None:
    """Check the process before it runs a guest: `disk` is open for writing, and no other file outside its directory.

    Raises SnapshotError if not, HostError if the process can't be read.
    """
    own = disk.stat()
    written = _only_own(pid, disk, disk.parent)
    if not any(os.path.samestat(found, own) for _, found in written):
        raise SnapshotError(
            f"process {pid}, restored with the disk {disk}, has not opened it for writing",
            "the snapshot's state has no disk, or a read-only one: boot its image and take it again",
        )


def check_shared_root(pid: int, root: Path, directory: Path) -> None:
    """Check the process before it runs a guest: it maps `root` and can't write it, nor a file outside its directory.

    A mapping of a file that was opened for reading only stays read-only (mmap(2), mprotect(2)). Raises SnapshotError if
    not, HostError if the process can't be read.
    """
    own = root.stat()
    _only_own(pid, root, directory)
    mapped = [permissions for permissions, found in _mapped_files(pid) if os.path.samestat(found, own)]
    if not mapped:
        raise SnapshotError(
            f"process {pid}, restored with the shared root {root}, does not map it",
            "the snapshot's state has no such device, or names another path: boot its image and take it again",
        )
    if any("w" in permissions and "s" in permissions for permissions in mapped):
        raise SnapshotError(
            f"process {pid}, restored with the shared root {root}, can write it: mapped {', '.join(mapped)}",
            "the snapshot's state has the device writable: boot its image and take it again",
        )


def _only_own(pid: int, disk: Path, directory: Path) -> list[tuple[str, os.stat_result]]:
    """What a process has open for writing. Raises SnapshotError for a file outside its directory."""
    written = list(_written_files(pid))
    in_directory = set(_files_in(directory))
    # A file without a name, such as memfd, is nobody's disk.
    strangers = [path for path, found in written if found.st_nlink and _identity(found) not in in_directory]
    if strangers:
        raise SnapshotError(
            f"process {pid}, restored with the disk {disk}, has opened {strangers[0]} for writing",
            "the snapshot's state names that path: take the snapshot again with the disk given by its file name only",
        )
    return written


def _mapped_files(pid: int) -> Iterator[tuple[str, os.stat_result]]:
    """The permissions and state of each file that a process maps, as in `r--s` (proc_pid_maps(5))."""
    process = PROC / str(pid)
    try:
        lines = (process / "maps").read_text(errors="surrogateescape").splitlines()
    except OSError as error:
        raise HostError(f"process {pid}: its mappings can't be read: {error.strerror}", "run as root") from error
    for line in lines:
        addresses, permissions, *_ = line.split(None, 2)
        with suppress(FileNotFoundError):  # not a file, or unmapped meanwhile
            yield permissions, (process / "map_files" / _as_named(addresses)).stat()


def _as_named(addresses: str) -> str:
    """The name of a mapping in map_files: without the zeros that maps begins an address with."""
    return "-".join(f"{int(address, 16):x}" for address in addresses.split("-"))


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
