"""Merges a diff snapshot's memory file into that of the snapshot before it."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from hornet.errors import SnapshotError

CHUNK_BYTES = 1 << 20


def merge(changes: Path, memory: Path) -> None:
    """Write the pages that a diff snapshot holds into a full memory file, which is changed.

    A page that is a hole in `changes` was not written (Firecracker: docs/snapshotting/snapshot-support.md). Raises
    SnapshotError if the files have different sizes or can't be read or written.
    """
    try:
        with changes.open("rb") as source, memory.open("r+b") as target:
            sizes = [os.fstat(file.fileno()).st_size for file in (source, target)]
            if sizes[0] != sizes[1]:
                raise SnapshotError(
                    f"{changes} has {sizes[0]} bytes, {memory} has {sizes[1]}: not of the same VM",
                    "merge a diff snapshot into the snapshot before it",
                )
            for start, end in _written(source, sizes[0]):
                _copy(source, target, start, end)
    except OSError as error:
        raise SnapshotError(f"{changes}, {memory}: can't be merged: {error.strerror}", "check both files") from error


def _written(file: BinaryIO, size: int) -> Iterator[tuple[int, int]]:
    """The ranges of a sparse file that are no holes."""
    end = 0
    while end < size:
        try:
            start = os.lseek(file.fileno(), end, os.SEEK_DATA)
        except OSError as error:
            if error.errno == errno.ENXIO:  # only a hole follows
                return
            raise
        end = os.lseek(file.fileno(), start, os.SEEK_HOLE)
        yield start, end


def _copy(source: BinaryIO, target: BinaryIO, start: int, end: int) -> None:
    source.seek(start)
    target.seek(start)
    while start < end:
        chunk = source.read(min(end - start, CHUNK_BYTES))
        target.write(chunk)
        start += len(chunk)
