"""Temporary files and directories that one process owns, and their removal after that process dies.

The owner holds a lock (flock) on the file or directory itself as long as it exists. The kernel releases the lock when
the process ends, also after SIGKILL or a power cut. A free lock therefore proves that the thing is orphaned. There is
no list and no lock file, because those can be lost, copied or deleted.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import re
import secrets
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType

from hornet.errors import HostError

# Part of the name of every temporary file or directory.
MARK = ".tmp-"
MOUNTS = Path("/proc/self/mountinfo")
MNT_DETACH, UMOUNT_NOFOLLOW = 2, 8
OCTAL = re.compile(r"\\([0-7]{3})")
TRIES = 5

_libc = ctypes.CDLL(None, use_errno=True)


class Owned:
    """A locked file or directory; a context manager that removes it unless it was renamed."""

    def __init__(self, path: Path, fd: int) -> None:
        self.path = path
        self.fd = fd

    @classmethod
    def directory(cls, path: Path, mode: int = 0o755) -> Owned:
        """A new directory. Raises FileExistsError or another OSError."""
        for _ in range(TRIES):
            path.mkdir(mode)
            made = _lock(path)
            if made is not None:
                return cls(path, made)
        raise _always_removed(path)

    @classmethod
    def work_directory(cls, parent: Path, name: str, mode: int = 0o755) -> Owned:
        """A new directory for unfinished work: `<name>.tmp-<random>` in `parent`. Raises OSError."""
        return cls.directory(parent / f"{name}{MARK}{secrets.token_hex(4)}", mode)

    @classmethod
    def file(cls, parent: Path, name: str, mode: int) -> Owned:
        """A new empty file, open for writing: `<name>.tmp-<random>` in `parent`. Raises OSError."""
        path = parent / f"{name}{MARK}{secrets.token_hex(4)}"
        for _ in range(TRIES):
            fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, mode)
            fcntl.flock(fd, fcntl.LOCK_EX)
            if _is_at(fd, path):
                return cls(path, fd)
            os.close(fd)
        raise _always_removed(path)

    def __enter__(self) -> Owned:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.remove()

    def remove(self) -> None:
        """Remove it if it is still at its path, but never something else at that path. Safe to call twice."""
        if self.fd < 0:
            return
        if _is_at(self.fd, self.path):
            _remove(self.path)
        os.close(self.fd)
        self.fd = -1


@contextmanager
def work_directory(parent: Path, name: str, mode: int = 0o755) -> Iterator[Path]:
    """A directory for unfinished work, removed at the end of the block unless it was renamed. Raises OSError."""
    with Owned.work_directory(parent, name, mode) as made:
        yield made.path


def is_owned(path: Path) -> bool:
    """Whether a living process holds the lock of a file or directory, or of a file in that directory.

    A VMM holds the lock of its disk, because it might outlive the owner of its directory.
    """
    locked = _lock(path)
    if locked is None:
        return path.exists()
    os.close(locked)
    return path.is_dir() and any(is_owned(inside) for inside in path.iterdir() if inside.is_file())


def remove_abandoned(path: Path) -> bool:
    """Remove a file or directory if its owner is dead; returns whether it was removed."""
    fd = _lock(path)
    if fd is None:
        return False
    try:
        if path.is_dir() and any(is_owned(inside) for inside in path.iterdir() if inside.is_file()):
            return False
        _remove(path)
        return True
    finally:
        os.close(fd)


def _lock(path: Path) -> int | None:
    """A descriptor that holds the lock of `path`; None if it is locked, missing, or cannot be opened."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if _is_at(fd, path):
            return fd
    except OSError:
        pass
    os.close(fd)
    return None


def _is_at(fd: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(fd), path.lstat())
    except FileNotFoundError:
        return False


def _remove(path: Path) -> None:
    """Remove a file or a tree, but nothing that is mounted in it: that may be the host's own /dev."""
    if not stat.S_ISDIR(path.lstat().st_mode):
        path.unlink()
        return
    for point in mounts_below(path):
        if _libc.umount2(str(point).encode(), MNT_DETACH | UMOUNT_NOFOLLOW):
            return
    shutil.rmtree(path, ignore_errors=True)


def mounts_below(directory: Path) -> list[Path]:
    """The mount points on or below a directory in this mount namespace, the innermost first."""
    prefix = os.path.realpath(directory)
    # mountinfo(5) writes a space in a path as \040.
    points = [OCTAL.sub(lambda found: chr(int(found[1], 8)), line.split()[4]) for line in _mounts()]
    return sorted((Path(point) for point in points if f"{point}/".startswith(f"{prefix}/")), reverse=True)


def _mounts() -> list[str]:
    return MOUNTS.read_text(errors="surrogateescape").splitlines()


def _always_removed(path: Path) -> HostError:
    return HostError(f"{path}: another process removes it each time it is created", "end that process")
