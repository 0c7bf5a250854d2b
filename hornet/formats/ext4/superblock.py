"""The ext4 superblock: 1,024 bytes at offset 1,024 (Linux kernel: Documentation/filesystems/ext4/globals.rst)."""

from __future__ import annotations

import shlex
import struct
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from hornet.errors import Ext4Error
from hornet.foreign_file import ForeignFileError, open_foreign
from hornet.formats.magic import HEAD_BYTES, image_format

OFFSET = 1024
SIZE_BYTES = 1024
MAGIC = 0xEF53
CLEANLY_UNMOUNTED = 0x0001
HAS_JOURNAL = 0x0004
NEEDS_RECOVERY, JOURNAL_DEVICE, MMP = 0x0004, 0x0008, 0x0100
ORPHAN_PRESENT = 0x10000
FEATURE_OFFSETS = {"compatible": 0x5C, "incompatible": 0x60, "read-only compatible": 0x64}
# EXT4_MAX_BLOCK_LOG_SIZE of the kernel's fs/ext4/ext4.h, less the 10 of 1024.
MAX_LOG_BLOCK_SIZE = 6
# The root file system of a VM has some hundred MB. Holes of a sparse file count.
MAX_IMAGE_BYTES = 1 << 40
# name: (offset, struct format). Only the fields that show sizes and the last writer.
FIELDS = {
    "inodes_count": (0x00, "<I"),
    "blocks_count": (0x04, "<I"),
    "free_blocks_count": (0x0C, "<I"),
    "free_inodes_count": (0x10, "<I"),
    "log_block_size": (0x18, "<I"),
    "mount_time": (0x2C, "<I"),
    "write_time": (0x30, "<I"),
    "mount_count": (0x34, "<H"),
    "magic": (0x38, "<H"),
    "state": (0x3A, "<H"),
    "check_time": (0x40, "<I"),
    "incompatible_features": (0x60, "<I"),
    "kbytes_written": (0x178, "<Q"),
    "error_count": (0x194, "<I"),
    "first_error_time": (0x198, "<I"),
    "checksum": (0x3FC, "<I"),
}
TIMES = {"mount_time", "write_time", "check_time", "first_error_time"}
# name: (offset, length), padded with zeros.
TEXTS = {"volume_name": (0x78, 16), "last_mounted_on": (0x88, 64), "first_error_function": (0x1A8, 32)}


class NotExt4Error(Ext4Error):
    """There is no superblock at its offset; the image may have a backup of it elsewhere."""


class OtherFormatError(Ext4Error):
    """The file is of another, known format."""


@dataclass(frozen=True)
class Superblock:
    """The raw bytes and some fields by name."""

    raw: bytes

    def __getattr__(self, name: str) -> int:
        try:
            offset, layout = FIELDS[name]
        except KeyError:
            raise AttributeError(name) from None
        value: int = struct.unpack_from(layout, self.raw, offset)[0]
        return value

    @property
    def block_bytes(self) -> int:
        """The block size in bytes. Raises Ext4Error for one that no kernel supports."""
        if self.log_block_size > MAX_LOG_BLOCK_SIZE:
            raise Ext4Error(f"blocks of 2^{10 + self.log_block_size} bytes, expected at most 65536", "judge it first")
        return 1024 << self.log_block_size

    @property
    def needs_recovery(self) -> bool:
        """Whether the journal must be replayed: normal for the disk of a VM that was not shut down."""
        return bool(self.incompatible_features & NEEDS_RECOVERY)

    @property
    def was_in_use(self) -> bool:
        """Whether it was copied while it was mounted: then the kernel had not yet written all of the superblock."""
        (last_orphan,) = struct.unpack_from("<I", self.raw, 0xE8)
        unclean = not self.state & CLEANLY_UNMOUNTED
        return self.needs_recovery or unclean or self.orphan_file_in_use or last_orphan != 0

    @property
    def has_journal(self) -> bool:
        return bool(self.features("compatible") & HAS_JOURNAL)

    @property
    def journal_is_elsewhere(self) -> bool:
        """Whether its journal is on another device."""
        (inode,) = struct.unpack_from("<I", self.raw, 0xE0)
        return self.has_journal and inode == 0

    @property
    def orphan_file_in_use(self) -> bool:
        """Whether the orphan file names deleted files that were open."""
        return bool(self.features("read-only compatible") & ORPHAN_PRESENT)

    @property
    def size_bytes(self) -> int:
        """The size of the file system."""
        (high,) = struct.unpack_from("<I", self.raw, 0x150)
        is_64_bits = self.features("incompatible") & 0x80
        return (self.blocks_count | (high << 32 if is_64_bits else 0)) * self.block_bytes

    @property
    def mmp_block(self) -> int | None:
        """The block of multi-mount protection; None without that feature."""
        (block,) = struct.unpack_from("<Q", self.raw, 0x168)
        return int(block) if self.incompatible_features & MMP else None

    @property
    def mmp_wait_s(self) -> int:
        """How long e2fsck looks whether another host writes (e2fsprogs: lib/ext2fs/mmp.c), at least."""
        (interval_s,) = struct.unpack_from("<H", self.raw, 0x166)
        return 2 * int(interval_s) + 1

    def features(self, kind: str) -> int:
        """The bits of a kind of features; the kinds are in FEATURE_OFFSETS."""
        (bits,) = struct.unpack_from("<I", self.raw, FEATURE_OFFSETS[kind])
        return int(bits)

    def show(self, name: str) -> str:
        """A field in readable form: times as dates."""
        value = getattr(self, name)
        if name not in TIMES:
            return f"{value:#x}" if name == "checksum" else str(value)
        return datetime.fromtimestamp(value, UTC).isoformat() if value else "never"

    def text(self, name: str) -> str:
        """A text field, by its name in TEXTS."""
        offset, length = TEXTS[name]
        return self.raw[offset : offset + length].split(b"\0")[0].decode("utf-8", "replace")

    def as_data(self) -> dict[str, str]:
        """All fields in readable form, for JSON."""
        return {name: self.show(name) for name in FIELDS} | {name: self.text(name) for name in TEXTS}

    def changes_from(self, sealed: Superblock) -> list[str]:
        """The differences as texts, as in `mount_count 3, sealed 2`."""
        named = [
            f"{name} {self.show(name)}, sealed {sealed.show(name)}"
            for name in FIELDS
            if getattr(self, name) != getattr(sealed, name)
        ]
        named += [
            f"{name} {self.text(name)!r}, sealed {sealed.text(name)!r}"
            for name in TEXTS
            if self.text(name) != sealed.text(name)
        ]
        return named or (["other superblock bytes"] if self.raw != sealed.raw else [])


def read_superblock(path: Path) -> Superblock:
    """Read and parse the superblock.

    Raises Ext4Error if the file is too short, OtherFormatError if it is of another format that is known by its first
    bytes, and NotExt4Error if it is none.
    """
    try:
        with open_foreign(path, MAX_IMAGE_BYTES) as stream:
            head = stream.read(HEAD_BYTES)
    except ForeignFileError as error:
        raise Ext4Error(error.message, error.hint) from error
    try:
        return parse_superblock(head[OFFSET : OFFSET + SIZE_BYTES])
    except Ext4Error as error:
        if other := image_format(head):
            remedy = other.remedy.replace("FILE", shlex.quote(str(path)))
            raise OtherFormatError(f"{path}: {other.what}, expected an ext4 image", remedy) from error
        raise type(error)(f"{path}: {error.message}", error.hint) from error


def parse_superblock(raw: bytes) -> Superblock:
    """Parse the bytes at OFFSET of an image.

    Raises Ext4Error if there are too few, or if it is not ext4; OtherFormatError for a journal without a file system.
    """
    if len(raw) < SIZE_BYTES:
        raise Ext4Error(f"only {len(raw)} bytes of a superblock, too short for ext4", "is it a truncated copy?")
    superblock = Superblock(raw[:SIZE_BYTES])
    if superblock.magic != MAGIC:
        raise NotExt4Error(f"not ext4: magic {superblock.magic:#06x}, expected {MAGIC:#06x}", "name an ext4 image")
    if superblock.incompatible_features & JOURNAL_DEVICE:
        raise OtherFormatError("the external journal of an ext4 file system", "name the image of that file system")
    return superblock
