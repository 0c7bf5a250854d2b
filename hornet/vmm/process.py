"""Start a VMM process that never outlives its parent process and has no privileges on the host."""

from __future__ import annotations

import fcntl
import os
import resource
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Literal, Protocol, TypeVar

from hornet.errors import HostError, VMError
from hornet.host.file_copy import OTHERS, open_private
from hornet.network import netns
from hornet.vmm import inherited, instructions
from hornet.vmm.cell import Cell, prepare_cells
from hornet.vmm.console import Console
from hornet.vmm.jail import enter_jail, keep_mounts
from hornet.vmm.transcript import LAST_LINES_CHARS, last_lines

# setpriv(1). The parent-death signal comes last: the kernel clears it when a process changes its user.
WITHOUT_RIGHTS = (
    *("--no-new-privs", "--bounding-set=-all", "--inh-caps=-all", "--ambient-caps=-all"),
    *("--pdeathsig", "KILL"),
)
# Per user. QEMU uses up to 64 threads for disk requests, and one for each of at most 32 virtual CPUs.
MAX_THREADS = 256
VISIBLE_PROGRAMS = ("/usr", "/bin", "/sbin")


# What a thread prepares for the VMMs that it starts: one jail for all, a jail with a cell for each (cell.py), or
# nothing but mounts of its own, for Firecracker's jailer (firecracker/jailer.py).
Kind = Literal["jail", "cells", "jailers"]


class Closable(Protocol):
    def close(self) -> None: ...


Opened = TypeVar("Opened", bound=Closable)


@dataclass(frozen=True)
class Rights:
    """What a VMM may do. It is in a jail (jail.py), with no capability.

    user: numeric id of its user and its group. groups: its other groups. largest_file_bytes: the size limit of files
    that it writes. files: descriptors that it opens by name; without a cell it can open no other file, except those
    that every user may read in the jail. cell: what it sees of its own (cell.py).
    """

    user: int
    largest_file_bytes: int
    files: Mapping[str, int] = field(default_factory=dict)
    groups: Sequence[int] = ()
    cell: Cell | None = None


def start_vmm(
    argv: Sequence[str],
    rights: Rights,
    *,
    log: Path,
    pass_fds: Sequence[int] = (),
    stdio: tuple[int, int] | None = None,
    namespace: str | None = None,
) -> subprocess.Popen[bytes]:
    """Start `argv` with its output in `log`. The kernel kills it when this process dies, for any reason.

    pass_fds: descriptors that it inherits in addition to rights.files; stdio: descriptors for its standard input and
    output, in place of the defaults; namespace: its network namespace, for a VMM in a cell. Raises HostError if the
    program is missing, or this host can't confine it.
    """
    limits = ["--core=0", f"--fsize={_limit(resource.RLIMIT_FSIZE, rights.largest_file_bytes)}"]
    limits.append(f"--nproc={_limit(resource.RLIMIT_NPROC, MAX_THREADS)}")
    user = ["--reuid", str(rights.user), "--regid", str(rights.user)]
    user += ["--groups", ",".join(map(str, rights.groups))] if rights.groups else ["--clear-groups"]
    program = argv[0] if rights.cell else _seen_in_jail(argv[0])
    command = [_seen_in_jail("prlimit"), *limits, _seen_in_jail("setpriv"), *user, *WITHOUT_RIGHTS, program, *argv[1:]]
    environment = {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C"}
    if rights.cell:
        command = [*rights.cell.entered_by, *command]
    else:
        environment |= inherited.environment(rights.files)

    def spawn() -> subprocess.Popen[bytes]:
        stdin, stdout = stdio or (subprocess.DEVNULL, sink.fileno())
        return subprocess.Popen(
            command,
            stdin=stdin,
            stdout=stdout,
            stderr=sink,
            pass_fds=(*pass_fds, *rights.files.values()),
            env=environment,
            umask=OTHERS,
        )

    def spawn_in_namespace(fd: int) -> subprocess.Popen[bytes]:
        with netns.visiting(fd):
            return spawn()

    with open_private(log, "ab") as sink:
        thread = _spawner("cells" if rights.cell else "jail")
        try:
            if not namespace:
                return thread.submit(spawn).result()
            # By a descriptor: the thread's mount namespace need not show namespaces that are younger than itself.
            with netns.opened(namespace) as fd:
                return thread.submit(spawn_in_namespace, fd).result()
        except FileNotFoundError as error:
            raise HostError(f"{error.filename}: not found", "install the package util-linux") from error


def _seen_in_jail(name: str) -> str:
    """The real path of the program that the host would run: a link elsewhere on PATH is dangling in the jail.

    Raises HostError if there is none, or if it is not visible in the jail.
    """
    found = shutil.which(name)
    if not found:
        raise HostError(f"{name}: not found on PATH", "run ./hornetos host: it installs what is missing")
    real = os.path.realpath(found)
    if not any(real.startswith(f"{directory}/") for directory in VISIBLE_PROGRAMS):
        raise HostError(f"{real}: not under /usr, the only programs that a VMM can see", "install it there")
    return real


def _limit(kind: int, wanted: int) -> int:
    """The limit to set. A lower limit is kept: in many containers root can't raise one."""
    _, hard = resource.getrlimit(kind)
    return wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)


def start_jailer(argv: Sequence[str], *, log: Path, stdio: tuple[int, int]) -> subprocess.Popen[bytes]:
    """Start Firecracker's jailer; the process that is returned ends with it, and it ends with this process.

    The jailer changes its user itself, which clears a parent-death signal. So it runs in a process namespace whose
    first process has that signal: when that one ends, the kernel kills all others. Raises HostError.
    """
    first = ["setpriv", "--pdeathsig", "KILL", "unshare", "--pid", "--fork", "--kill-child=KILL"]
    # In the background, a shell would give it /dev/null as standard input.
    command = [*first, "sh", "-c", '"$@" <&0 & wait $!', "sh", *argv]
    with open_private(log, "ab") as sink:

        def spawn() -> subprocess.Popen[bytes]:
            return subprocess.Popen(command, stdin=stdio[0], stdout=stdio[1], stderr=sink, umask=OTHERS)

        try:
            return _spawner("jailers").submit(spawn).result()
        except FileNotFoundError as error:
            raise HostError(f"{error.filename}: not found", "install the package util-linux") from error


def prepare_jail(kind: Kind = "jail") -> None:
    """Create a jail now, so that the first VMM does not wait for it. Raises HostError, CommandError."""
    _spawner(kind)


@contextmanager
def opened(kind: Kind, make: Callable[[], Opened]) -> Iterator[Opened]:
    """What one VMM sees of its own: made and closed on the thread that starts it. Raises HostError."""
    thread = _spawner(kind)
    cell = thread.submit(make).result()
    try:
        yield cell
    finally:
        thread.submit(cell.close).result()


# The parent-death signal fires when the starting *thread* ends, so a permanent thread starts every VMM.
_spawners: dict[Kind, ThreadPoolExecutor] = {}
_making = threading.Lock()


def _spawner(kind: Kind) -> ThreadPoolExecutor:
    with _making:
        if kind not in _spawners:
            made = ThreadPoolExecutor(1, thread_name_prefix="vmm-spawner")
            made.submit(PREPARATIONS[kind]).result()
            _spawners[kind] = made
        return _spawners[kind]


def _prepare_jail() -> None:
    enter_jail({it.LIBRARY: it.library() for it in (inherited, instructions)})


PREPARATIONS: dict[Kind, Callable[[], None]] = {"jail": _prepare_jail, "cells": prepare_cells, "jailers": keep_mounts}


@contextmanager
def claimed(disk: Path, *, shared: bool = False) -> Iterator[int]:
    """Open and lock the disk, by its inode and not its name: two VMs that write to one file system corrupt it.

    shared: for reading only, beside others that do the same. A VMM that inherits the descriptor holds the lock until it
    ends. Raises VMError if another VM holds it.
    """
    with disk.open("rb" if shared else "r+b", buffering=0) as file:
        try:
            fcntl.flock(file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except BlockingIOError:
            inode = os.fstat(file.fileno()).st_ino
            raise VMError(f"{disk} (inode {inode}): another VM uses it", "give each VM its own copy") from None
        yield file.fileno()


def open_given(path: Path) -> BinaryIO:
    """Open a file that a VM starts from, for reading only. Raises VMError if it can't be read."""
    try:
        return path.open("rb", buffering=0)
    except OSError as error:
        raise VMError(f"{path}: can't be read: {error.strerror}", "check the path and its permissions") from error


def last_words(console: Console, log: Path) -> str:
    """The last output of the guest and the VMM, for the error of a failed VM."""
    return f"console:\n{console.tail()}\nVMM log:\n{log_tail(log)}"


def log_tail(log: Path) -> str:
    """The last lines of the VMM's log."""
    if not log.exists():
        return "(no VMM log)"
    size = log.stat().st_size
    with log.open("rb") as stream:
        stream.seek(max(0, size - LAST_LINES_CHARS), os.SEEK_SET)
        text = stream.read().decode("utf-8", "replace")
    return last_lines(text) or "(the VMM printed nothing)"
