"""Network namespaces: make them, enter them on a thread of their own, remove them.

A socket belongs to the namespace in which it was made, whichever thread uses it later. So whatever must happen
inside a namespace happens on a short-lived thread that entered it, and the rest of the process never moves.
"""

from __future__ import annotations

import ctypes
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from hornet.errors import NetworkError

T = TypeVar("T")

# Where ip-netns(8) keeps names; a name made here is seen by `ip netns list` and the other way round.
RUN_NETNS = Path("/run/netns")
CLONE_NEWNET = 0x40000000
MS_BIND = 0x1000
MNT_DETACH = 2

_libc = ctypes.CDLL(None, use_errno=True)


def create(name: str, inside: Callable[[], T]) -> T:
    """Make a namespace called `name` and run `inside` in it.

    Raises NetworkError if the name is taken or the kernel refuses; then, and when `inside` fails, nothing is
    left behind.
    """
    path = RUN_NETNS / name
    RUN_NETNS.mkdir(parents=True, exist_ok=True)
    try:
        path.touch(exist_ok=False)
    except FileExistsError:
        raise NetworkError(f"namespace {name}: already exists", f"remove it: ip netns delete {name}") from None
    except PermissionError:
        raise NetworkError(f"namespace {name}: not permitted", "run as root") from None

    def unshare_and_run() -> T:
        _check(_libc.unshare(CLONE_NEWNET), f"namespace {name}: unshare")
        here = f"/proc/self/task/{threading.get_native_id()}/ns/net"
        _check(_libc.mount(here.encode(), str(path).encode(), b"none", MS_BIND, None), f"namespace {name}: bind mount")
        return inside()

    try:
        return _on_thread(unshare_and_run)
    except BaseException:
        remove(name)
        raise


def enter(name: str | None, inside: Callable[[], T]) -> T:
    """Run `inside` in the namespace `name`; None is the process's own. Raises NetworkError if there is none."""
    if name is None:
        return inside()
    try:
        fd = os.open(RUN_NETNS / name, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        raise NetworkError(f"namespace {name}: does not exist", "look at `ip netns list`") from None

    def enter_and_run() -> T:
        _check(_libc.setns(fd, CLONE_NEWNET), f"namespace {name}: setns")
        return inside()

    try:
        return _on_thread(enter_and_run)
    finally:
        os.close(fd)


def remove(name: str) -> None:
    """Remove a namespace with everything in it. One that does not exist is no error."""
    path = RUN_NETNS / name
    _libc.umount2(str(path).encode(), MNT_DETACH)
    path.unlink(missing_ok=True)


def exists(name: str) -> bool:
    """Whether a namespace of that name is there."""
    return (RUN_NETNS / name).exists()


def _on_thread(work: Callable[[], T]) -> T:
    result: list[T] = []
    failure: list[BaseException] = []

    def body() -> None:
        try:
            result.append(work())
        except BaseException as error:  # carried over to the caller's thread
            failure.append(error)

    thread = threading.Thread(target=body, name="netns")
    thread.start()
    thread.join()
    if failure:
        raise failure[0]
    return result[0]


def _check(code: int, what: str) -> None:
    if code != 0:
        number = ctypes.get_errno()
        raise NetworkError(f"{what}: {os.strerror(number)}", "run as root, with CAP_SYS_ADMIN and CAP_NET_ADMIN")
