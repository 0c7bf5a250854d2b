"""Start a VMM process that never outlives the one that started it."""

from __future__ import annotations

import fcntl
import os
import subprocess
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path

from hornet.errors import HostError, VMError
from hornet.network.netns import RUN_NETNS


@cache
def _spawner() -> ThreadPoolExecutor:
    """The parent-death signal fires when the starting *thread* ends, so one that lasts starts every VMM."""
    return ThreadPoolExecutor(1, thread_name_prefix="vmm-spawner")


def start_vmm(
    argv: Sequence[str],
    *,
    disk: Path,
    log: Path,
    pass_fds: Sequence[int] = (),
    stdio: tuple[int, int] | None = None,
    directory: Path | None = None,
    namespace: str | None = None,
) -> subprocess.Popen[bytes]:
    """Start `argv` with its output in `log`; it is killed by the kernel when this process dies, however.

    stdio: descriptors of its standard input and output instead; directory: where it runs; namespace: the network
    namespace that it runs in. Raises VMError if another VM runs on `disk`, HostError if the program is missing.
    """
    command = ["setpriv", "--pdeathsig", "KILL", *argv]
    if namespace:
        # Entered first: entering clears the parent-death signal.
        command = ["nsenter", f"--net={RUN_NETNS / namespace}", "--", *command]

    def spawn() -> subprocess.Popen[bytes]:
        with log.open("ab") as sink:
            stdin, stdout = stdio or (subprocess.DEVNULL, sink.fileno())
            return subprocess.Popen(
                command,
                stdin=stdin,
                stdout=stdout,
                stderr=sink,
                pass_fds=tuple(pass_fds),
                cwd=directory,
            )

    claim = _claim(disk)
    pass_fds = (*pass_fds, claim)
    try:
        return _spawner().submit(spawn).result()
    except FileNotFoundError as error:
        raise HostError(f"{error.filename}: not found", "run ./hornetos once: it installs it") from error
    finally:
        os.close(claim)


def _claim(disk: Path) -> int:
    """A descriptor that holds a lock on the disk's inode, whatever its name. The VMM inherits it and has the lock
    until it ends: two VMs that write one file system destroy it."""
    fd = os.open(disk, os.O_RDWR | os.O_CLOEXEC)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        inode = os.fstat(fd).st_ino
        os.close(fd)
        raise VMError(f"{disk} (inode {inode}): another VM runs on it", "give each VM a copy of its own") from None
    return fd


def log_tail(log: Path, lines: int = 15) -> str:
    """The VMM's last words."""
    if not log.exists():
        return "(no VMM log)"
    size = log.stat().st_size
    with log.open("rb") as stream:
        stream.seek(max(0, size - 8192), os.SEEK_SET)
        text = stream.read().decode("utf-8", "replace")
    return "\n".join(text.splitlines()[-lines:]) or "(the VMM printed nothing)"
