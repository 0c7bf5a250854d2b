"""Unpacks a compressed archive into a file, in the sandbox: bounded by the room that it may take."""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
import zlib
from collections.abc import Callable
from typing import Any

from hornet.errors import ImageError
from hornet.formats.magic import BZIP2, GZIP, HEAD_BYTES, XZ, packed_format
from hornet.host.file_copy import write_at

CHUNK_BYTES = 1 << 20
# Each of them reads streams that consist of several members, as pigz and eStargz write them.
_OPENERS: dict[bytes, Callable[..., Any]] = {GZIP: gzip.open, BZIP2: bz2.open, XZ: lzma.open}


def unpack(packed: int, unpacked: int, room_bytes: int) -> int | None:
    """Write the content of a compressed file into another, empty one; zeros become holes.

    Returns its size in bytes, or None for a file that is not compressed. Raises ImageError for damaged data, for a
    method that Python does not know, and for more than `room_bytes`.
    """
    head = os.pread(packed, HEAD_BYTES, 0)
    opener = next((opener for magic, opener in _OPENERS.items() if head.startswith(magic)), None)
    if opener is None:
        if form := packed_format(head):
            raise ImageError(f"{form.what}: only gzip, bzip2 and xz are read", form.remedy)
        return None
    try:
        with open(packed, "rb", closefd=False) as stream, opener(stream, "rb") as content:
            return _copy(content, unpacked, room_bytes)
    except (EOFError, zlib.error, lzma.LZMAError, gzip.BadGzipFile) as error:
        raise ImageError(f"damaged compressed data: {error}", "copy the archive again") from error


def _copy(content: Any, unpacked: int, room_bytes: int) -> int:
    done = 0
    while chunk := content.read(CHUNK_BYTES):
        if done + len(chunk) > room_bytes:
            raise ImageError(
                f"it unpacks to more than {room_bytes >> 20} MiB, half of the free room in HORNET_HOME",
                "free space there, or set HORNET_HOME to another directory",
            )
        if chunk.count(0) != len(chunk):
            write_at(unpacked, chunk, done)
        done += len(chunk)
    os.ftruncate(unpacked, done)
    return done
