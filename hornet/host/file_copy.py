"""Copies of big files that cost as little as the file system allows."""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Literal, cast

from hornet.errors import HostError

Method = Literal["reflink", "sparse"]

# linux/fs.h: share all extents of another file (btrfs, xfs and others).
FICLONE = 0x40049409
CHUNK_BYTES = 64 << 20
BUFFER_BYTES = 1 << 20
PRIVATE_MODE = 0o600
PRIVATE_DIRECTORY_MODE = 0o700
# What a file system or a filter of system calls says to a call that it does not have.
NOT_SUPPORTED = (errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.EPERM)
# The permission bits of everybody but the owner.
OTHERS = 0o077


def open_private(path: Path, mode: str) -> BinaryIO:
    """Open a file in a binary mode. A new file has mode 0600 from the first moment, with any umask.

    Raises OSError.
    """

    def make(name: str, flags: int) -> int:
        return os.open(name, flags, PRIVATE_MODE)

    return cast(BinaryIO, open(path, mode, opener=make))


def write_private(path: Path, text: str) -> None:
    """Write a text file that only its owner may read. Raises OSError."""
    with open_private(path, "wb") as stream:
        stream.write(text.encode())


def clone_file(source: Path, target: Path) -> Method:
    """Create `target`, which must not exist, as a private copy of `source`: a reflink, or a sparse copy.

    Only its owner may read it. Raises HostError for a full disk or any other failure; a partial target is removed.
    """
    try:
        with source.open("rb") as reader, open_private(target, "xb") as writer:
            try:
                return copy_into(reader, writer)
            except BaseException:
                target.unlink()
                raise
    except OSError as error:
        hint = f"free space in {mount_point(target)}" if error.errno == errno.ENOSPC else ""
        raise HostError(f"copying {source} to {target}: {error.strerror}", hint) from error


def mount_point(path: Path) -> Path:
    """The root of the file system on which a path is or would be: it lasts, unlike a VM's directory."""
    return next(parent for parent in (path, *path.absolute().parents) if parent.is_mount())


def copy_into(reader: BinaryIO, writer: BinaryIO) -> Method:
    """Copy one open file into another, empty one, as clone_file() does. Raises OSError."""
    try:
        fcntl.ioctl(writer.fileno(), FICLONE, reader.fileno())
        return "reflink"
    except OSError:
        # The file system has none, or a security policy refuses them. A copy is always possible; if the disk is full
        # or broken, it says so itself.
        pass
    _sparse_copy(reader.fileno(), writer.fileno())
    return "sparse"


def data_ranges(fd: int) -> Iterator[tuple[int, int]]:
    """The data ranges of an open file, without its holes, as (offset, length) in bytes, ascending."""
    size_bytes = os.fstat(fd).st_size
    end = 0
    while end < size_bytes:
        try:
            begin = os.lseek(fd, end, os.SEEK_DATA)
        except OSError as error:
            if error.errno == errno.ENXIO:  # only a hole is left
                return
            if error.errno in NOT_SUPPORTED:  # the file system does not know its holes
                yield end, size_bytes - end
                return
            raise
        end = os.lseek(fd, begin, os.SEEK_HOLE)
        yield begin, end - begin


def _sparse_copy(source_fd: int, target_fd: int) -> None:
    os.ftruncate(target_fd, os.fstat(source_fd).st_size)
    for begin, length in data_ranges(source_fd):
        copy_range(source_fd, target_fd, begin, begin + length, begin)


def copy_range(source_fd: int, target_fd: int, begin: int, end: int, place: int) -> None:
    """Copy the bytes from `begin` to `end` of an open file to an offset of another. Raises OSError."""
    os.lseek(target_fd, place, os.SEEK_SET)
    while begin < end:
        copied = _send(target_fd, source_fd, begin, min(CHUNK_BYTES, end - begin))
        if copied == 0:
            raise OSError(errno.EIO, "the source was truncated during the copy")
        begin += copied


def _send(target_fd: int, source_fd: int, begin: int, length: int) -> int:
    """Copy at most `length` bytes from an offset to the target's position; returns how many."""
    try:
        return os.sendfile(target_fd, source_fd, begin, length)
    except OSError as error:
        if error.errno not in NOT_SUPPORTED:
            raise
    return os.write(target_fd, os.pread(source_fd, min(length, BUFFER_BYTES), begin))


def write_at(target_fd: int, data: bytes, offset: int) -> None:
    """Write all of `data` at an offset of an open file. Raises OSError."""
    view = memoryview(data)
    while view:
        written = os.pwrite(target_fd, view, offset)
        view, offset = view[written:], offset + written
