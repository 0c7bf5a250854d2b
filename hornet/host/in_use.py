"""Marks artifacts and snapshots that this process uses, until it ends: `hornetos clean` leaves them.

The mark is a shared lock (flock) on the directory itself. The kernel releases it with the process.
"""

from __future__ import annotations

import fcntl
import os
from contextlib import suppress
from pathlib import Path

_held: dict[Path, int] = {}


def hold(directory: Path) -> None:
    """Mark a directory as used by this process. One that cannot be locked is used all the same."""
    if directory in _held:
        return
    with suppress(OSError):
        fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            os.close(fd)
            raise
        _held[directory] = fd


def release(directory: Path) -> None:
    """Take this process's mark away, because the directory is replaced."""
    fd = _held.pop(directory, None)
    if fd is not None:
        os.close(fd)


def release_below(root: Path) -> None:
    """Take away all marks below a directory, because its file system is to be unmounted."""
    for directory in [held for held in _held if held.is_relative_to(root)]:
        release(directory)
