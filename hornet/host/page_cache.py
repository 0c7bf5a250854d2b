"""The page cache of single files: dropped before a cold measurement, and proved dropped."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from hornet.host.proc import run

FINCORE_TIMEOUT_S = 20


def drop(files: Iterable[Path]) -> None:
    """Write the files back and ask the kernel to forget their pages (posix_fadvise(2)); pages in use stay."""
    for path in files:
        fd = os.open(path, os.O_RDONLY)
        try:
            os.fsync(fd)
            os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
        finally:
            os.close(fd)


def warm(files: Iterable[Path]) -> None:
    """Read the files to their ends."""
    for path in files:
        with path.open("rb", buffering=0) as stream:
            while stream.read(1 << 20):
                pass


def resident_share(files: Iterable[Path]) -> float:
    """How much of the files' bytes lies in the page cache, 0 … 1, by fincore(1). Raises CommandError."""
    paths = list(files)
    output = run(["fincore", "-b", "-n", "-r", "-o", "RES", *paths], timeout_s=FINCORE_TIMEOUT_S).output
    # Blocks, not the apparent size: a hole has no pages to be cached... unless it was read, so never beyond 1.
    sizes = sum(path.stat().st_size for path in paths)
    return min(1.0, sum(map(int, output.split())) / sizes)
