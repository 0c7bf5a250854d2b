"""The page cache of single files: dropped before a cold measurement, and checked."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from hornet.errors import HostError
from hornet.host.proc import run

# A cold cache still holds what was read to check the seal: pages of the superblock, read ahead.
MOST_COLD_SHARE = 0.05
FINCORE_TIMEOUT_S = 20


def drop(files: Iterable[Path]) -> None:
    """Write the files back and ask the kernel to drop their pages (posix_fadvise(2)); pages in use stay."""
    for path in files:
        fd = os.open(path, os.O_RDONLY)
        try:
            os.fsync(fd)
            os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
        finally:
            os.close(fd)


def make_cold(files: Iterable[Path]) -> None:
    """Drop the files, and prove it. Raises HostError as require_cold()."""
    paths = list(files)
    drop(paths)
    require_cold(paths)


def require_cold(files: Iterable[Path]) -> None:
    """Raises HostError if the page cache holds more than MOST_COLD_SHARE of the files."""
    paths = list(files)
    if (share := resident_share(paths)) > MOST_COLD_SHARE:
        names = ", ".join(path.name for path in paths)
        raise HostError(f"{names}: {share:.0%} in the page cache, expected at most {MOST_COLD_SHARE:.0%}")


def warm(files: Iterable[Path]) -> None:
    """Read the files completely, so that the page cache holds them."""
    for path in files:
        with path.open("rb", buffering=0) as stream:
            while stream.read(1 << 20):
                pass


def resident_bytes(files: Iterable[Path]) -> int:
    """The bytes of the files in the page cache, from fincore(1). Raises CommandError."""
    output = run(["fincore", "-b", "-n", "-r", "-o", "RES", *files], timeout_s=FINCORE_TIMEOUT_S).output
    return sum(map(int, output.split()))


def resident_share(files: Iterable[Path]) -> float:
    """The share of the files' bytes in the page cache, 0 … 1. Raises CommandError."""
    paths = list(files)
    # A hole that was read has cached pages too, so the sum can exceed the size.
    return min(1.0, resident_bytes(paths) / sum(path.stat().st_size for path in paths))
