"""Network namespaces: make them, enter them on a thread of their own, remove them.

A socket belongs to the namespace in which it was made, whichever thread uses it later. So whatever must happen
inside a namespace happens on a short-lived thread that entered it, and the rest of the process never moves.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from hornet.errors import NetworkError

T = TypeVar("T")

# Where ip-netns(8) keeps names; a name made here is seen by `ip netns list` and the other way round.
RUN_NETNS = Path("/run/netns")
# The text of the file that a name is. It says whose the name is when there is no namespace behind it.
MARK = b"hornetos\n"
OWN = "/proc/thread-self/ns/net"
CLONE_NEWNET = 0x40000000
MS_BIND, MS_REC, MS_SHARED = 0x1000, 0x4000, 1 << 20
MNT_DETACH = 2

_libc = ctypes.CDLL(None, use_errno=True)


def create(name: str, inside: Callable[[], T]) -> T:
    """Make a namespace, run `inside` in it, and only then give it its name.

    So a name stands for a finished namespace; of an unfinished one the kernel leaves nothing, also when the process
    is killed. Raises NetworkError if the name is taken or the kernel refuses.
    """

    def make() -> T:
        check_free(name)
        unshare(name)
        result = inside()
        bind(name)
        return result

    return on_thread(make)


def enter(name: str | None, inside: Callable[[], T]) -> T:
    """Run `inside` in the namespace `name`; None is the process's own. Raises NetworkError if there is none."""
    if name is None:
        return inside()

    def enter_and_run() -> T:
        move_to(name)
        return inside()

    return on_thread(enter_and_run)


def remove(name: str) -> None:
    """Remove a name, and with it the namespace, unless a process is still in it. No such name is no error."""
    path = RUN_NETNS / name
    _libc.umount2(str(path).encode(), MNT_DETACH)
    path.unlink(missing_ok=True)


def exists(name: str) -> bool:
    """Whether a namespace of that name is there."""
    return (RUN_NETNS / name).exists()


def names() -> list[str]:
    """Every name, whoever made it."""
    return sorted(os.listdir(RUN_NETNS)) if RUN_NETNS.is_dir() else []


def is_held(name: str) -> bool:
    """Whether a living process has locked the namespace: it uses it, or plays a host in it."""
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
    """Whether the name is one that we made and that leads to no namespace (the process was killed in between)."""
    try:
        with (RUN_NETNS / name).open("rb") as file:
            return file.read(len(MARK) + 1) == MARK
    except OSError:  # a live one: namespace files can't be read
        return False


# --- On the thread that moves -----------------------------------------------------------------------------------------


def on_thread(work: Callable[[], T]) -> T:
    """Run `work` on a thread that may change its namespace, to its end, also if the caller is interrupted."""
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
    """Raises NetworkError if the name is taken."""
    if exists(name):
        raise _taken(name)


def unshare(name: str) -> None:
    """Move the calling thread into a new namespace, which as yet has no name (`name` is for the error)."""
    code = _libc.unshare(CLONE_NEWNET)
    if code and ctypes.get_errno() == errno.ENOSPC:
        raise NetworkError(f"namespace {name}: the kernel's limit is reached", "raise sysctl user.max_net_namespaces")
    _check(code, f"namespace {name}: unshare")


def move_to(name: str) -> None:
    """Move the calling thread into a named namespace. Raises NetworkError if there is none."""
    try:
        fd = os.open(RUN_NETNS / name, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        raise NetworkError(f"namespace {name}: does not exist", "look at `ip netns list`") from None
    try:
        _check(_libc.setns(fd, CLONE_NEWNET), f"namespace {name}: setns")
    finally:
        os.close(fd)


def bind(name: str) -> None:
    """Give the calling thread's namespace a name. Raises NetworkError if it is taken."""
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
    """Make the directory of names what ip-netns(8) makes it: a shared mount of itself.

    Else the first `ip netns add` would do so, and cover the mounts that are there: they could not be removed any
    more. For the same reason it is left as it is where others have made names already. Raises NetworkError.
    """
    try:
        RUN_NETNS.mkdir(parents=True, exist_ok=True)
    except PermissionError as error:
        raise NetworkError(f"{error.filename}: {error.strerror}", "run as root") from error
    if names():
        return
    directory = str(RUN_NETNS).encode()
    # It is refused (EINVAL) exactly if the directory is not a mount yet: so it is never mounted twice.
    if _libc.mount(b"", directory, b"none", MS_SHARED | MS_REC, None):
        if ctypes.get_errno() == errno.EINVAL:
            _check(_libc.mount(directory, directory, b"none", MS_BIND | MS_REC, None), f"{RUN_NETNS}: bind mount")
        _check(_libc.mount(b"", directory, b"none", MS_SHARED | MS_REC, None), f"{RUN_NETNS}: shared mount")


def _link_mark(path: Path) -> None:
    """Make a name that holds the mark from the first moment on. Raises FileExistsError."""
    fd = os.open(RUN_NETNS, os.O_WRONLY | os.O_TMPFILE | os.O_CLOEXEC, 0o444)
    try:
        os.write(fd, MARK)
        # src_dir_fd: without one, Python calls link(2), which takes the symlink for the file.
        os.link(f"/proc/self/fd/{fd}", path, src_dir_fd=fd, follow_symlinks=True)
    finally:
        os.close(fd)


def _taken(name: str) -> NetworkError:
    return NetworkError(f"namespace {name}: already exists", "look at `hornetos net list` and `ip netns list`")


def _check(code: int, what: str) -> None:
    if code != 0:
        number = ctypes.get_errno()
        raise NetworkError(f"{what}: {os.strerror(number)}", "run as root, with CAP_SYS_ADMIN and CAP_NET_ADMIN")
