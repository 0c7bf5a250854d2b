"""Multi-mount protection: a block in which a host notes that it uses the file system (e2fsprogs: lib/ext2fs/mmp.c).

e2fsck would wait up to minutes to see whether that host still writes to it, in vain: it looks at a copy.
"""

from __future__ import annotations

import struct
from datetime import UTC, datetime
from typing import BinaryIO

from hornet.formats.ext4.superblock import Superblock

MAGIC, CLEAN, BY_E2FSCK = 0x004D4D50, 0xFF4D4D50, 0xE24D4D50
# magic, sequence number, time, node, device
LAYOUT = struct.Struct("<IIQ64s32s")


def user_of(superblock: Superblock, image: BinaryIO) -> str | None:
    """Who uses the file system, as in `host1 (loop0), noted at 2026-…`; None if nobody does or the block is invalid."""
    if superblock.mmp_block is None:
        return None
    offset = superblock.mmp_block * superblock.block_bytes
    if offset >= superblock.size_bytes:
        return None
    image.seek(offset)
    raw = image.read(LAYOUT.size)
    if len(raw) < LAYOUT.size:
        return None
    magic, sequence, time, node, device = LAYOUT.unpack(raw)
    if magic != MAGIC or sequence == CLEAN:
        return None
    who = "an e2fsck on " if sequence == BY_E2FSCK else ""
    return f"{who}{_text(node)} ({_text(device)}), noted at {_time(time)}"


def _text(raw: bytes) -> str:
    return raw.split(b"\0")[0].decode("utf-8", "replace") or "unnamed"


def _time(seconds: int) -> str:
    try:
        return datetime.fromtimestamp(seconds, UTC).isoformat()
    except (ValueError, OverflowError, OSError):
        return "an invalid time"
