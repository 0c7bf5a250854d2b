"""Network namespaces: create, enter on a separate thread, remove.

A socket belongs to the namespace in which it was created, whichever thread uses it later. So work inside a namespace
runs on a short-lived thread that enters it, and the rest of the process never moves.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from hornet.errors import NetworkError
from hornet.host.owned import MARK as TEMPORARY
from hornet.host.owned import Owned, remove_abandoned

T = TypeVar("T")

# The directory of ip-netns(8): `ip netns list` shows names of the suite, and the suite sees those of others.
RUN_NETNS = Path("/run/netns")
# The content of the file with the name. It shows the owner of a name without a namespace.
MARK = b"hornetos\n"
OWN = "/proc/thread-self/ns/net"
CLONE_NEWNET = 0x40000000
MS_BIND, MS_REC, MS_SHARED = 0x1000, 0x4000, 1 << 20
MNT_DETACH = 2

_libc = ctypes.CDLL(None, use_errno=True)


def create(name: str, inside: Callable[[], T]) -> T:
    """Create a namespace, run `inside` in it, and only then give it its name.

    So a name means a finished namespace. The kernel removes an unfinished one, also if the process is killed. Raises
    NetworkError if the name is in use or the kernel refuses.
    """

    def make() -> T:
        check_free(name)
        unshare(name)
        result = inside()
        bind(name)
        return result

    return on_thread(make)


def enter(name: str | None, inside: Callable[[], T]) -> T:
    """Run `inside` in the namespace `name` (None: the process's own). Raises NetworkError if it does not exist."""
    if name is None:
        return inside()

    def enter_and_run() -> T:
        move_to(name)
        return inside()

    return on_thread(enter_and_run)


def remove(name: str) -> None:
    """Remove a name, and the namespace unless a process is still in it. A missing name is not an error."""
    path = RUN_NETNS / name
    _libc.umount2(str(path).encode(), MNT_DETACH)
    path.unlink(missing_ok=True)


def exists(name: str) -> bool:
    """Whether a namespace of that name exists."""
    return (RUN_NETNS / name).exists()


def names() -> list[str]:
    """All names, whoever created them."""
    return sorted(name for name in os.listdir(RUN_NETNS) if name[0] != ".") if RUN_NETNS.is_dir() else []


def is_held(name: str) -> bool:
    """Whether a living process has locked the namespace because it uses it."""
    try:
        fd = os.open(RUN_NETNS / name, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return False
    except BlockingIOError:
        return True
    finally:
        os.close(fd)


def is_empty_mark(name: str) -> bool:
    """Whether the suite created the name but no namespace is behind it (the process was killed in between)."""
    try:
        with (RUN_NETNS / name).open("rb") as file:
            return file.read(len(MARK) + 1) == MARK
    except OSError:  # a live one: namespace files cannot be read
        return False


# --- On the thread that moves -----------------------------------------------------------------------------------------


def on_thread(work: Callable[[], T]) -> T:
    """Run `work` on a thread that may change its namespace. It runs to its end even if the caller is interrupted."""
    result: list[T] = []
    failure: list[BaseException] = []

    def body() -> None:
        try:
            result.append(work())
        except BaseException as error:  # carried over to the caller's thread
            failure.append(error)

    thread = threading.Thread(target=body, name="netns")
    thread.start()
    try:
        thread.join()
    except BaseException:
        thread.join()
        raise
    if failure:
        raise failure[0]
    return result[0]


def check_free(name: str) -> None:
    """Raises NetworkError if the name is in use."""
    if exists(name):
        raise _taken(name)


def unshare(name: str) -> None:
    """Move the calling thread into a new namespace without a name (`name` is for the error message)."""
    code = _libc.unshare(CLONE_NEWNET)
    if code and ctypes.get_errno() == errno.ENOSPC:
        raise NetworkError(f"namespace {name}: the kernel's limit is reached", "raise sysctl user.max_net_namespaces")
    _check(code, f"namespace {name}: unshare")


@contextmanager
def opened(name: str) -> Iterator[int]:
    """A descriptor of a namespace. Raises NetworkError if it does not exist."""
    try:
        fd = os.open(RUN_NETNS / name, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        raise NetworkError(f"namespace {name}: does not exist", "look at `ip netns list`") from None
    try:
        yield fd
    finally:
        os.close(fd)


def move_to(name: str) -> None:
    """Move the calling thread into a named namespace. Raises NetworkError if it does not exist."""
    with opened(name) as fd:
        _check(_libc.setns(fd, CLONE_NEWNET), f"namespace {name}: setns")


@contextmanager
def visiting(fd: int) -> Iterator[None]:
    """Let the calling thread be in another namespace for a while. Raises NetworkError."""
    with Path(OWN).open("rb") as own:
        _check(_libc.setns(fd, CLONE_NEWNET), "setns")
        try:
            yield
        finally:
            _check(_libc.setns(own.fileno(), CLONE_NEWNET), "setns")


def bind(name: str) -> None:
    """Give the calling thread's namespace a name. Raises NetworkError if the name is in use."""
    path = RUN_NETNS / name
    try:
        _link_mark(path)
    except FileExistsError:
        raise _taken(name) from None
    try:
        _check(_libc.mount(OWN.encode(), str(path).encode(), b"none", MS_BIND, None), f"namespace {name}: bind mount")
    except NetworkError:
        path.unlink()
        raise


def prepare() -> None:
    """Turn the directory of names into a shared mount of itself, as ip-netns(8) does.

    Otherwise the first `ip netns add` would do so and hide the existing mounts, which could then not be removed. For
    the same reason the directory is not changed if it already has names. Raises NetworkError.
    """
    try:
        RUN_NETNS.mkdir(parents=True, exist_ok=True)
    except PermissionError as error:
        raise NetworkError(f"{error.filename}: {error.strerror}", "run as root") from error
    for stale in RUN_NETNS.glob(f".*{TEMPORARY}*"):
        remove_abandoned(stale)
    if names():
        return
    directory = str(RUN_NETNS).encode()
    # The kernel refuses this (EINVAL) only if the directory is not a mount yet, so it is never mounted twice.
    if _libc.mount(b"", directory, b"none", MS_SHARED | MS_REC, None):
        if ctypes.get_errno() == errno.EINVAL:
            _check(_libc.mount(directory, directory, b"none", MS_BIND | MS_REC, None), f"{RUN_NETNS}: bind mount")
        _check(_libc.mount(b"", directory, b"none", MS_SHARED | MS_REC, None), f"{RUN_NETNS}: shared mount")


def _link_mark(path: Path) -> None:
    """Create a name that has the mark from the first moment. Raises FileExistsError."""
    try:
        fd = os.open(RUN_NETNS, os.O_WRONLY | os.O_TMPFILE | os.O_CLOEXEC, 0o444)
    except OSError:  # not every file system has unnamed files
        _link_named_mark(path)
        return
    try:
        os.write(fd, MARK)
        # src_dir_fd: without one, Python calls link(2), which takes the symlink for the file.
        os.link(f"/proc/self/fd/{fd}", path, src_dir_fd=fd, follow_symlinks=True)
    finally:
        os.close(fd)


def _link_named_mark(path: Path) -> None:
    """The same with a file that has another name first, which names() does not list."""
    try:
        with Owned.file(RUN_NETNS, f".{path.name}", 0o444) as mark:
            os.write(mark.fd, MARK)
            os.link(mark.path, path)
    except FileExistsError:
        raise
    except OSError as error:
        raise NetworkError(f"{path}: {error.strerror}", "make /run writable, for example a tmpfs") from error


def _taken(name: str) -> NetworkError:
    return NetworkError(f"namespace {name}: already exists", "look at `hornetos net list` and `ip netns list`")


def _check(code: int, what: str) -> None:
    if code != 0:
        number = ctypes.get_errno()
        raise NetworkError(f"{what}: {os.strerror(number)}", "run as root, with CAP_SYS_ADMIN and CAP_NET_ADMIN")
