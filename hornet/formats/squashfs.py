"""A squashfs file system read in user space, without mounting it, as an ImageTree. Only for confined processes.

The library PySquashfsImage parses it (Linux: Documentation/filesystems/squashfs.rst). It trusts what it reads: any
of its exceptions means that the file is damaged, and the sandbox bounds time and memory.
"""

from __future__ import annotations

import lzma  # noqa: F401  # the library imports it on use, when a confined process can't read modules any more
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import Any, BinaryIO

import zstandard  # noqa: F401  # the same
from PySquashfsImage import SquashFsImage
from PySquashfsImage.macro import SQUASHFS_COMPRESSED_SIZE_BLOCK

from hornet.errors import HornetError, ImageError
from hornet.formats.image_tree import Entry, ImageTree

MAGIC = b"hsqs"
# Superblock: the number of bytes used (u64) at this offset.
BYTES_USED_OFFSET = 40
SUPERBLOCK_BYTES = 96
# A file is read into memory as a whole.
MAX_FILE_BYTES = 1 << 30
REMEDY = "take another copy of the image, or build it again"


class SquashfsError(ImageError):
    """A file is not a squashfs file system, or is damaged."""


class SquashfsTree(ImageTree):
    """The files of a squashfs file system in a stream. name: the stream's name in errors. Raises SquashfsError."""

    def __init__(self, stream: BinaryIO, name: str) -> None:
        self._name = name
        self._require_whole(stream)
        with self._damage():
            self._image: Any = SquashFsImage(stream, closefd=False)
            self._files = {file.path: file for file in self._image if file.path != "/"}
            self._entries = {path: _entry(file) for path, file in self._files.items()}
        self._last: tuple[int, bytes] = (0, b"")

    @property
    def root(self) -> Entry:
        return _entry(self._image.root)

    @property
    def entries(self) -> Mapping[str, Entry]:
        return self._entries

    def read(self, path: str, offset_bytes: int, length_bytes: int) -> bytes:
        file, entry = self._files[path], self._entries[path]
        if entry.size_bytes > MAX_FILE_BYTES:
            raise SquashfsError(f"{self._name}: {path}: {entry.size_bytes} bytes, at most {MAX_FILE_BYTES} are read")
        end = offset_bytes + length_bytes
        with self._damage():
            if end <= self._image.sblk.block_size:
                # Most readers want the head only.
                return bytes(next(iter(file.iter_bytes()), b"")[offset_bytes:end])
            if self._last[0] != entry.identity:
                self._last = entry.identity, file.read_bytes()
            return self._last[1][offset_bytes:end]

    def data_ranges(self, path: str) -> Iterator[tuple[int, int]]:
        size_bytes = self._entries[path].size_bytes
        yield from [(0, size_bytes)] if size_bytes else []

    def stored_bytes(self) -> dict[str, int]:
        """The bytes that each regular file takes in the file system, compressed. Equal files count once."""
        seen: set[tuple[int, ...]] = set()
        found = {}
        with self._damage():
            for path in self.files:
                inode = self._files[path].inode
                place = (inode.start, inode.fragment, inode.offset)
                found[path] = 0 if place in seen else self._stored(inode)
                seen.add(place)
        return found

    def _stored(self, inode: Any) -> int:
        blocks = self._image._read_block_list(inode.block_start, inode.block_offset, inode.blocks)
        size_bytes = sum(int(SQUASHFS_COMPRESSED_SIZE_BLOCK(block)) for block in blocks)
        if inode.frag_bytes:
            start, size = self._image._read_fragment(inode.fragment)
            whole = len(self._image._read_data_block(start, size))
            size_bytes += int(SQUASHFS_COMPRESSED_SIZE_BLOCK(size) * inode.frag_bytes // whole)
        return size_bytes

    def _require_whole(self, stream: BinaryIO) -> None:
        head = stream.read(SUPERBLOCK_BYTES)
        if len(head) < SUPERBLOCK_BYTES or not head.startswith(MAGIC):
            raise SquashfsError(f"{self._name}: not a squashfs file system: it begins with {head[:4]!r}", REMEDY)
        used = int.from_bytes(head[BYTES_USED_OFFSET : BYTES_USED_OFFSET + 8], "little")
        size = stream.seek(0, 2)
        if used > size:
            raise SquashfsError(f"{self._name}: truncated: the file has {size} bytes, its file system {used}", REMEDY)

    def _damage(self) -> AbstractContextManager[None]:
        return _as_damage(self._name)


@contextmanager
def _as_damage(name: str) -> Iterator[None]:
    """Any exception of the library is damage."""
    try:
        yield
    except (HornetError, MemoryError):
        raise
    except Exception as error:
        raise SquashfsError(f"{name}: damaged: {type(error).__name__}: {error}", REMEDY) from error


def _entry(file: Any) -> Entry:
    inode = file.inode
    target = file.readlink() if file.is_symlink else None
    size_bytes = inode.file_size if file.is_file else 0
    # Negative: the inodes of the disk around it are positive.
    return Entry(inode.mode, inode.uid, inode.gid, size_bytes, -inode.inode_number, target)
