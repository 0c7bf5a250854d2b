"""Mounts that end with the process: a killed test leaves none on the host."""

from __future__ import annotations

import ctypes
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

# linux/sched.h, linux/mount.h
CLONE_FS, CLONE_NEWNS = 0x0200, 0x00020000
MS_REC, MS_SLAVE = 0x4000, 1 << 19
TIMEOUT_S = 60

_libc = ctypes.CDLL(None, use_errno=True)


@contextmanager
def private_mounts() -> Iterator[None]:
    """What is mounted in the block is seen only by this thread, and by the threads and processes that it starts.

    The kernel unmounts it with the last of them, however they end. Raises OSError without CAP_SYS_ADMIN.
    """
    namespace = os.open("/proc/thread-self/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
    directory = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        _check(_libc.unshare(CLONE_NEWNS))
        try:
            _check(_libc.mount(b"none", b"/", None, MS_REC | MS_SLAVE, None))
            yield
        finally:
            # Threads that were started meanwhile share root and working directory, and setns(2) refuses that.
            _check(_libc.unshare(CLONE_FS))
            _check(_libc.setns(namespace, CLONE_NEWNS))
            os.fchdir(directory)
    finally:
        os.close(directory)
        os.close(namespace)


@contextmanager
def mounted_here(where: Path, *words: str | Path) -> Iterator[Path]:
    """mount(8) with these words at an existing directory, privately."""
    with private_mounts():
        _run("mount", *words, where)
        try:
            yield where
        finally:
            _run("umount", where)


def _run(*words: str | Path) -> None:
    done = subprocess.run(words, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    assert done.returncode == 0, f"{words}: {done.stderr}"


def _check(code: int) -> None:
    if code:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
