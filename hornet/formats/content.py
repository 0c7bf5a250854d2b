"""Reads big content in chunks of bounded size that overlap, so that no search term is cut in two."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

CHUNK_BYTES = 16 << 20
# Search terms must be shorter than this. Keys and tokens are.
OVERLAP_BYTES = 64 << 10


@dataclass(frozen=True)
class Chunk:
    """A chunk of content. own_bytes: anything that begins later in `data` is in the next chunk too."""

    offset_bytes: int
    data: bytes
    own_bytes: int


def chunks(ranges: Iterable[tuple[int, int]], read: Callable[[int, int], bytes]) -> Iterator[Chunk]:
    """The chunks of ranges, given as (offset, length) in bytes. read(offset, length) returns content."""
    for begin, length in ranges:
        for offset in range(begin, begin + length, CHUNK_BYTES):
            left = begin + length - offset
            yield Chunk(offset, read(offset, min(left, CHUNK_BYTES + OVERLAP_BYTES)), min(left, CHUNK_BYTES))
