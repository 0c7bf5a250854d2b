"""Start a VMM process that never outlives its parent process and has no privileges on the host."""

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
from hornet.vmm import inherited, instructions
from hornet.vmm.console import Console
from hornet.vmm.jail import enter_jail
from hornet.vmm.transcript import LAST_LINES_CHARS, last_lines

# setpriv(1). The parent-death signal comes last: the kernel clears it when a process changes its user.
WITHOUT_RIGHTS = (
    *("--clear-groups", "--no-new-privs", "--bounding-set=-all", "--inh-caps=-all", "--ambient-caps=-all"),
    *("--pdeathsig", "KILL"),
)
# Per user. QEMU uses up to 64 threads for disk requests, and one for each of at most 32 virtual CPUs.
MAX_THREADS = 256
VISIBLE_PROGRAMS = ("/usr", "/bin", "/sbin")


@dataclass(frozen=True)
class Rights:
    """What a VMM may do.

    user: numeric id of its user and its only group. The VMM is then in a jail (hornet/vmm/jail.py). It can open
    `files`, descriptors by name, and the files that every user may read there. None: the VMM runs as root without any
    capability and sees the whole host, because it opens its files by path. largest_file_bytes: the size limit of files
    that it writes.
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
    """Start `argv` with its output in `log`. The kernel kills it when this process dies, for any reason.

    pass_fds: descriptors that it inherits in addition to rights.files; stdio: descriptors for its standard input and
    output, in place of the defaults; directory: its working directory; namespace: its network namespace. Raises
    HostError if the program is missing, or this host can't confine it.
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
        # Entered first, because it needs privileges.
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


def prepare_jail() -> None:
    """Create the jail now, so that the first VMM does not wait for it. Raises HostError, CommandError."""
    _spawner(jailed=True)


# The parent-death signal fires when the starting *thread* ends, so a permanent thread starts every VMM.
_spawners: dict[bool, ThreadPoolExecutor] = {}
_making = threading.Lock()


def _spawner(*, jailed: bool) -> ThreadPoolExecutor:
    with _making:
        if jailed not in _spawners:
            made = ThreadPoolExecutor(1, thread_name_prefix="vmm-spawner")
            if jailed:
                libraries = {it.LIBRARY: it.library() for it in (inherited, instructions)}
                made.submit(enter_jail, libraries).result()
            _spawners[jailed] = made
        return _spawners[jailed]


@contextmanager
def claimed(disk: Path) -> Iterator[int]:
    """Open and lock the disk, by its inode and not its name: two VMs that write to one file system corrupt it.

    A VMM that inherits the descriptor holds the lock until it ends. Raises VMError if another VM holds it.
    """
    with disk.open("r+b", buffering=0) as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
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
