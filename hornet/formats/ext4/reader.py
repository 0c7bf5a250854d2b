"""An ext4 file system read in user space by libext2fs, the library of e2fsck and debugfs, without mounting it.

Only for confined processes (hornet/sandbox): the library parses what may be hostile. What is read costs what it weighs:
holes are skipped, a directory's entries are handed out as they come (e2fsprogs: lib/ext2fs/ext2fs.h).
"""

from __future__ import annotations

import ctypes
import stat
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Any

from hornet.errors import Ext4Error, HostError
from hornet.formats.ext4.superblock import read_superblock

LIBRARY, ERRORS = "libext2fs.so.2", "libcom_err.so.2"
ROOT_INODE = 2
INODE_BYTES = 128
EXTENTS, INLINE_DATA = 0x00080000, 0x10000000
FLAG_64BITS = 0x20000
BLOCK_FLAG_DATA_ONLY, BLOCK_FLAG_READ_ONLY = 4, 8
EXTENT_ROOT, EXTENT_NEXT = 1, 9
EXTENT_LEAF, EXTENT_UNWRITTEN = 1, 2
EXTENT_NO_NEXT = 2133571452  # EXT2_ET_EXTENT_NO_NEXT of ext2_err.h: no error, the end
ATTRIBUTE_NOT_FOUND = 2133571490  # EXT2_ET_EA_KEY_NOT_FOUND
SEEK_SET = 0
# A directory entry begins with inode, record length, and length and type of the name (ext4: Directory Entries).
ENTRY = struct.Struct("<IHBB")
UNKNOWN_TYPE, DIRECTORY_TYPE = 0, 2
EXTENT = struct.Struct("<QQII")

_EntryCallback = ctypes.CFUNCTYPE(
    *(ctypes.c_int, ctypes.c_uint32, ctypes.c_int, ctypes.c_void_p),
    *(ctypes.c_int, ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p),
)
_BlockCallback = ctypes.CFUNCTYPE(
    *(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64),
    *(ctypes.c_uint64, ctypes.c_int, ctypes.c_void_p),
)


@dataclass(frozen=True)
class Inode:
    """The attributes of a file. size_bytes includes holes; device: major and minor number of a device node, encoded."""

    number: int
    mode: int
    uid: int
    gid: int
    size_bytes: int
    flags: int
    device: int = 0

    @property
    def is_directory(self) -> bool:
        return stat.S_ISDIR(self.mode)

    @property
    def is_regular(self) -> bool:
        return stat.S_ISREG(self.mode)

    @property
    def is_link(self) -> bool:
        return stat.S_ISLNK(self.mode)


@dataclass(frozen=True)
class Entry:
    """A name in a directory. may_be_directory: False saves reading the inode to find out."""

    name: bytes
    inode: int
    may_be_directory: bool


class Ext4Reader:
    """An open file system; a context manager. Every method raises Ext4Error if the library refuses."""

    def __init__(self, image_fd: int) -> None:
        path = f"/proc/self/fd/{image_fd}"
        self._library = _library()
        self._fs = ctypes.c_void_p()
        manager = ctypes.c_void_p.in_dll(self._library, "unix_io_manager")
        code = self._library.ext2fs_open2(path.encode(), None, FLAG_64BITS, 0, 0, manager, ctypes.byref(self._fs))
        self._check(code, "the file system")
        # Only now, because the library has rejected invalid sizes.
        self._block_bytes = read_superblock(Path(path)).block_bytes

    def __enter__(self) -> Ext4Reader:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._library.ext2fs_free(self._fs)

    def inode(self, number: int) -> Inode:
        """One inode."""
        raw = self._raw_inode(number)
        mode, uid, size_low = struct.unpack_from("<HHI", raw, 0)
        (gid,) = struct.unpack_from("<H", raw, 24)
        (flags,) = struct.unpack_from("<I", raw, 32)
        (size_high,) = struct.unpack_from("<I", raw, 108)
        uid_high, gid_high = struct.unpack_from("<HH", raw, 120)
        # Of a device node, in the old or in the new encoding (ext4: fs/ext4/inode.c, __ext4_iget).
        old_device, new_device = struct.unpack_from("<II", raw, 40)
        device = (old_device or new_device) if stat.S_ISCHR(mode) or stat.S_ISBLK(mode) else 0
        size_bytes = size_low | size_high << 32
        return Inode(number, mode, uid | uid_high << 16, gid | gid_high << 16, size_bytes, flags, device)

    def entries(self, directory: int) -> list[Entry]:
        """The entries of a directory in stored order, without `.` and `..`."""
        found: list[Entry] = []

        def take(_directory: int, _place: int, entry: int, *_rest: Any) -> int:
            number, _record_bytes, name_bytes, kind = ENTRY.unpack(ctypes.string_at(entry, ENTRY.size))
            name = ctypes.string_at(entry + ENTRY.size, name_bytes)
            if name not in (b".", b".."):
                found.append(Entry(name, number, kind in (UNKNOWN_TYPE, DIRECTORY_TYPE)))
            return 0

        callback = _EntryCallback(take)
        code = self._library.ext2fs_dir_iterate2(self._fs, directory, 0, None, callback, None)
        self._check(code, f"the directory of inode {directory}")
        return found

    def link_target(self, inode: Inode) -> bytes:
        """The target of a symbolic link."""
        raw = self._raw_inode(inode.number)
        if self._library.ext2fs_is_fast_symlink(raw):
            return bytes(raw[40 : 40 + min(inode.size_bytes, 60)])
        return self.read(inode, 0, min(inode.size_bytes, self._block_bytes))

    def read(self, inode: Inode, offset_bytes: int, length_bytes: int) -> bytes:
        """Content of a file from an offset on, up to its end; holes are zeros."""
        handle = ctypes.c_void_p()
        what = f"the content of inode {inode.number}"
        self._check(self._library.ext2fs_file_open(self._fs, inode.number, 0, ctypes.byref(handle)), what)
        try:
            buffer = ctypes.create_string_buffer(max(0, min(length_bytes, inode.size_bytes - offset_bytes)))
            got, there = ctypes.c_uint(), ctypes.c_uint64()
            code = self._library.ext2fs_file_llseek(handle, offset_bytes, SEEK_SET, ctypes.byref(there))
            self._check(code, what)
            done = 0
            while done < len(buffer):
                place = ctypes.byref(buffer, done)
                code = self._library.ext2fs_file_read(handle, place, len(buffer) - done, ctypes.byref(got))
                self._check(code, what)
                if not got.value:
                    break
                done += got.value
            return buffer.raw[:done]
        finally:
            self._library.ext2fs_file_close(handle)

    def attribute(self, number: int, name: str) -> bytes | None:
        """An extended attribute of an inode; None if it does not have it."""
        handle, value, size = ctypes.c_void_p(), ctypes.c_void_p(), ctypes.c_size_t()
        what = f"the extended attributes of inode {number}"
        self._check(self._library.ext2fs_xattrs_open(self._fs, number, ctypes.byref(handle)), what)
        try:
            self._check(self._library.ext2fs_xattrs_read(handle), what)
            code = self._library.ext2fs_xattr_get(handle, name.encode(), ctypes.byref(value), ctypes.byref(size))
            if code == ATTRIBUTE_NOT_FOUND:
                return None
            self._check(code, what)
            try:
                return ctypes.string_at(value, size.value)
            finally:
                self._library.ext2fs_free_mem(ctypes.byref(value))
        finally:
            self._library.ext2fs_xattrs_close(ctypes.byref(handle))

    def data_ranges(self, inode: Inode) -> Iterator[tuple[int, int]]:
        """The data ranges of a file, without holes and preallocated blocks, as (offset, length) in bytes, ascending."""
        if inode.flags & INLINE_DATA:
            runs = iter([(0, 1)]) if inode.size_bytes else iter([])
        elif inode.flags & EXTENTS:
            runs = self._extents(inode.number)
        else:
            runs = self._blocks(inode.number)
        begin = end = 0
        for first, count in runs:
            offset = first * self._block_bytes
            if offset != end:
                yield from _clipped(begin, end, inode.size_bytes)
                begin = offset
            end = offset + count * self._block_bytes
        yield from _clipped(begin, end, inode.size_bytes)

    def _extents(self, number: int) -> Iterator[tuple[int, int]]:
        """Logical first block and number of blocks of each extent that was written to."""
        handle = ctypes.c_void_p()
        what = f"the extents of inode {number}"
        self._check(self._library.ext2fs_extent_open(self._fs, number, ctypes.byref(handle)), what)
        try:
            extent = ctypes.create_string_buffer(EXTENT.size)
            step = EXTENT_ROOT
            while (code := self._library.ext2fs_extent_get(handle, step, extent)) == 0:
                _physical, logical, count, flags = EXTENT.unpack(extent.raw)
                if flags & EXTENT_LEAF and not flags & EXTENT_UNWRITTEN:
                    yield logical, count
                step = EXTENT_NEXT
            if code != EXTENT_NO_NEXT:
                self._check(code, what)
        finally:
            self._library.ext2fs_extent_free(handle)

    def _blocks(self, number: int) -> Iterator[tuple[int, int]]:
        """The same for a file with a block map, as in ext2."""
        logical: list[int] = []

        def take(_fs: int, _block: int, count: int, *_rest: Any) -> int:
            logical.append(count)
            return 0

        flags = BLOCK_FLAG_DATA_ONLY | BLOCK_FLAG_READ_ONLY
        code = self._library.ext2fs_block_iterate3(self._fs, number, flags, None, _BlockCallback(take), None)
        self._check(code, f"the blocks of inode {number}")
        return ((block, 1) for block in logical)

    def _raw_inode(self, number: int) -> Any:
        raw = ctypes.create_string_buffer(INODE_BYTES)
        self._check(self._library.ext2fs_read_inode(self._fs, number, raw), f"inode {number}")
        return raw

    def _check(self, code: int, what: str) -> None:
        if code:
            said = _errors().error_message(code).decode(errors="replace")
            raise Ext4Error(f"{what} cannot be read: {said}", "take another copy of the image")


def _clipped(begin: int, end: int, size_bytes: int) -> Iterator[tuple[int, int]]:
    if begin < min(end, size_bytes):
        yield begin, min(end, size_bytes) - begin


@cache
def _library() -> Any:
    """libext2fs with the types of the functions used here; errcode_t is a long."""
    library = _load(LIBRARY)
    pointer, number, offset = ctypes.c_void_p, ctypes.c_uint32, ctypes.c_uint64
    for name, arguments in (
        (
            "ext2fs_open2",
            [ctypes.c_char_p, ctypes.c_char_p, ctypes.c_int, ctypes.c_int, ctypes.c_uint, pointer, pointer],
        ),
        ("ext2fs_read_inode", [pointer, number, pointer]),
        ("ext2fs_dir_iterate2", [pointer, number, ctypes.c_int, pointer, _EntryCallback, pointer]),
        ("ext2fs_file_open", [pointer, number, ctypes.c_int, pointer]),
        ("ext2fs_file_llseek", [pointer, offset, ctypes.c_int, pointer]),
        ("ext2fs_file_read", [pointer, pointer, ctypes.c_uint, pointer]),
        ("ext2fs_file_close", [pointer]),
        ("ext2fs_extent_open", [pointer, number, pointer]),
        ("ext2fs_extent_get", [pointer, ctypes.c_int, pointer]),
        ("ext2fs_xattrs_open", [pointer, number, pointer]),
        ("ext2fs_xattrs_read", [pointer]),
        ("ext2fs_xattr_get", [pointer, ctypes.c_char_p, pointer, pointer]),
        ("ext2fs_xattrs_close", [pointer]),
        ("ext2fs_free_mem", [pointer]),
        ("ext2fs_block_iterate3", [pointer, number, ctypes.c_int, pointer, _BlockCallback, pointer]),
    ):
        function = getattr(library, name)
        function.restype, function.argtypes = ctypes.c_long, arguments
    library.ext2fs_is_fast_symlink.argtypes = [pointer]
    for name in ("ext2fs_free", "ext2fs_extent_free"):
        getattr(library, name).restype, getattr(library, name).argtypes = None, [pointer]
    return library


@cache
def _errors() -> Any:
    library = _load(ERRORS)
    library.error_message.restype, library.error_message.argtypes = ctypes.c_char_p, [ctypes.c_long]
    _library().initialize_ext2_error_table()
    return library


def _load(name: str) -> Any:
    try:
        return ctypes.CDLL(name)
    except OSError as error:
        raise HostError(f"{name}: {error}", "apt-get install e2fsprogs") from error
