"""Start a VMM process that never outlives the one that started it, and that has no rights on the host."""

from __future__ import annotations

import fcntl
import os
import resource
import shutil
import subprocess
import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from hornet.errors import HostError, VMError
from hornet.host.file_copy import OTHERS, open_private
from hornet.network.netns import RUN_NETNS
from hornet.vmm import inherited
from hornet.vmm.console import Console
from hornet.vmm.jail import enter_jail
from hornet.vmm.transcript import LAST_LINES_CHARS, last_lines

# setpriv(1). The parent-death signal comes last: the kernel clears it when a process changes its user.
WITHOUT_RIGHTS = (
    *("--clear-groups", "--no-new-privs", "--bounding-set=-all", "--inh-caps=-all", "--ambient-caps=-all"),
    *("--pdeathsig", "KILL"),
)
# Of one user. QEMU's pool for disk requests has up to 64; each virtual CPU is one more, of at most 32.
MAX_THREADS = 256
VISIBLE_PROGRAMS = ("/usr", "/bin", "/sbin")


@dataclass(frozen=True)
class Rights:
    """What a VMM may do.

    user: numeric id of its user and its only group. It is in a jail (hornet/vmm/jail.py) and opens `files`, descriptors
    by name, beside what every user may read there. None: root's id without any capability, in the host's own view, for
    a VMM that opens its files by path. largest_file_bytes: how far it may write into any file.
    """

    user: int | None
    largest_file_bytes: int
    files: Mapping[str, int] = field(default_factory=dict)


def start_vmm(
    argv: Sequence[str],
    rights: Rights,
    *,
    log: Path,
    pass_fds: Sequence[int] = (),
    stdio: tuple[int, int] | None = None,
    directory: Path | None = None,
    namespace: str | None = None,
) -> subprocess.Popen[bytes]:
    """Start `argv` with its output in `log`; it is killed by the kernel when this process dies, however.

    pass_fds: what it inherits beside rights.files; stdio: descriptors of its standard input and output instead;
    directory: where it runs; namespace: the network namespace that it runs in. Raises HostError if the program is
    missing, or this host can't confine it.
    """
    limits = ["--core=0", f"--fsize={_limit(resource.RLIMIT_FSIZE, rights.largest_file_bytes)}"]
    user = []
    environment = {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C"}
    if rights.user is not None:
        limits.append(f"--nproc={_limit(resource.RLIMIT_NPROC, MAX_THREADS)}")
        user = ["--reuid", str(rights.user), "--regid", str(rights.user)]
        environment |= inherited.environment(rights.files)
    program = str if rights.user is None else _seen_in_jail
    command = [program("prlimit"), *limits, program("setpriv"), *user, *WITHOUT_RIGHTS, program(argv[0]), *argv[1:]]
    if namespace:
        # Entered first: it takes rights.
        command = ["nsenter", f"--net={RUN_NETNS / namespace}", "--", *command]

    def spawn() -> subprocess.Popen[bytes]:
        if rights.user is None and not shutil.which(argv[0], path=environment["PATH"]):
            raise HostError(f"{argv[0]}: not found on PATH", "install it there: ./hornetos host installs what it can")
        stdin, stdout = stdio or (subprocess.DEVNULL, sink.fileno())
        return subprocess.Popen(
            command,
            stdin=stdin,
            stdout=stdout,
            stderr=sink,
            pass_fds=(*pass_fds, *rights.files.values()),
            cwd=directory,
            env=environment,
            umask=OTHERS,
        )

    with open_private(log, "ab") as sink:
        try:
            return _spawner(jailed=rights.user is not None).submit(spawn).result()
        except FileNotFoundError as error:
            raise HostError(f"{error.filename}: not found", "install the package util-linux") from error


def _seen_in_jail(name: str) -> str:
    """The program that the host would run, by its own path: a link elsewhere on PATH leads nowhere in the jail.

    Raises HostError if there is none, or none that a jailed VMM sees.
    """
    found = shutil.which(name)
    if not found:
        raise HostError(f"{name}: not found on PATH", "run ./hornetos host: it installs what is missing")
    real = os.path.realpath(found)
    if not any(real.startswith(f"{directory}/") for directory in VISIBLE_PROGRAMS):
        raise HostError(f"{real}: not below /usr, which is all that a VMM sees", "install it there")
    return real


def _limit(kind: int, wanted: int) -> int:
    """What is lower already stays so: in many containers root may not raise a limit."""
    _, hard = resource.getrlimit(kind)
    return wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)


def prepare_jail() -> None:
    """Make the jail now, which the first VMM would have to wait for. Raises HostError, CommandError."""
    _spawner(jailed=True)


# The parent-death signal fires when the starting *thread* ends, so one that lasts starts every VMM.
_spawners: dict[bool, ThreadPoolExecutor] = {}
_making = threading.Lock()


def _spawner(*, jailed: bool) -> ThreadPoolExecutor:
    with _making:
        if jailed not in _spawners:
            made = ThreadPoolExecutor(1, thread_name_prefix="vmm-spawner")
            if jailed:
                made.submit(enter_jail, {inherited.LIBRARY: inherited.library()}).result()
            _spawners[jailed] = made
        return _spawners[jailed]


@contextmanager
def claimed(disk: Path) -> Iterator[int]:
    """The disk, open and locked by its inode, whatever its name: two VMs that write one file system destroy it.

    A VMM that inherits the descriptor has the lock until it ends. Raises VMError if another one has it.
    """
    with disk.open("r+b", buffering=0) as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            inode = os.fstat(file.fileno()).st_ino
            raise VMError(f"{disk} (inode {inode}): another VM runs on it", "give each VM a copy of its own") from None
        yield file.fileno()


def open_given(path: Path) -> BinaryIO:
    """A file that a VM is made from, for reading only. Raises VMError if it can't be read."""
    try:
        return path.open("rb", buffering=0)
    except OSError as error:
        raise VMError(f"{path}: can't be read: {error.strerror}", "check the path and its permissions") from error


def last_words(console: Console, log: Path) -> str:
    """What guest and VMM printed last, for the error of a VM that failed."""
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
