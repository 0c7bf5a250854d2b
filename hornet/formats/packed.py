"""Unpacks streams of gzip, bzip2, lzma and xz, chunk by chunk and bounded."""

from __future__ import annotations

import bz2
import itertools
import lzma
import zlib
from collections.abc import Iterable, Iterator
from typing import Protocol

from hornet.errors import HornetError

GZIP_MAGIC = b"\x1f\x8b"
# The longest beginning by which unpacker_of() knows a stream.
MAGIC_BYTES = 6
# A vmlinux has some tens of MiB, and with debug data less than 1 GiB.
MAX_UNPACKED_BYTES = 1 << 30
# lzma: the kernel's own scripts use dictionaries of up to 128 MiB.
MAX_DICTIONARY_BYTES = 192 << 20
CHUNK_BYTES = 1 << 20


class PackedError(HornetError):
    """Compressed data is damaged, or unpacks to too much."""


def unpacker_of(head: bytes) -> Decompressor | None:
    """What unpacks a stream that begins so; None if it is not packed, or in a way that Python does not know."""
    if head.startswith(GZIP_MAGIC):
        return Gunzip()
    if head.startswith(b"BZh"):
        return bz2.BZ2Decompressor()
    if head.startswith((b"\xfd7zXZ\0", b"\x5d\0\0")):
        return lzma.LZMADecompressor(memlimit=MAX_DICTIONARY_BYTES)
    return None


class Decompressor(Protocol):
    """The common interface of the decompressors of bz2 and lzma."""

    @property
    def eof(self) -> bool: ...
    @property
    def needs_input(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, max_length: int) -> bytes: ...


class Gunzip:
    """zlib's decompressor with the interface of bz2 and lzma."""

    def __init__(self) -> None:
        self._inner = zlib.decompressobj(wbits=31)

    @property
    def eof(self) -> bool:
        return self._inner.eof

    @property
    def needs_input(self) -> bool:
        return not self._inner.unconsumed_tail

    @property
    def unused_data(self) -> bytes:
        return self._inner.unused_data

    def decompress(self, data: bytes, max_length: int) -> bytes:
        return self._inner.decompress(self._inner.unconsumed_tail + data, max_length)


def unpack_members(packed: Iterator[bytes]) -> Iterator[bytes]:
    """All members of a packed file: pbzip2, bgzip and cat(1) write several. What follows them is ignored."""
    head, total_bytes = next(packed, b""), 0
    while unpacker := unpacker_of(head):
        for chunk in unpack(unpacker, itertools.chain([head], packed)):
            total_bytes += len(chunk)
            if total_bytes > MAX_UNPACKED_BYTES:
                raise PackedError(f"compressed data that unpacks to more than {MAX_UNPACKED_BYTES} bytes")
            yield chunk
        head = unpacker.unused_data
        if len(head) < MAGIC_BYTES:
            head += next(packed, b"")


def unpack(decompressor: Decompressor, packed: Iterable[bytes]) -> Iterator[bytes]:
    """One packed stream, chunk by chunk. Raises PackedError if it is damaged, or unpacks to more than a kernel."""
    total_bytes = 0
    try:
        for data in packed:
            while not decompressor.eof:
                chunk = decompressor.decompress(data, CHUNK_BYTES)
                total_bytes += len(chunk)
                if total_bytes > MAX_UNPACKED_BYTES:
                    raise PackedError(f"compressed data that unpacks to more than {MAX_UNPACKED_BYTES} bytes")
                if chunk:
                    yield chunk
                data = b""
                if decompressor.needs_input:
                    break
            if decompressor.eof:
                return
    except (OSError, EOFError, zlib.error, lzma.LZMAError) as error:
        raise PackedError(f"damaged compressed data: {error}") from error
    raise PackedError("compressed data is truncated")
