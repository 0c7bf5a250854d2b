"""Sets network sysctls, also where /proc/sys is read-only, as in containers."""

from __future__ import annotations

import ctypes
import errno
import os
from pathlib import Path

from hornet.errors import NetworkError

# Linux, include/uapi/asm-generic/unistd.h and mount.h.
FSOPEN, FSCONFIG, FSMOUNT = 430, 431, 432
FSCONFIG_CMD_CREATE = 6

_libc = ctypes.CDLL(None, use_errno=True)


def set_sysctl(name: str, value: str, *, in_own_namespace: bool) -> None:
    """Set a network sysctl in the calling thread's namespace, unless it has the value. Raises NetworkError.

    in_own_namespace: the suite made the namespace. Then a read-only /proc/sys, which protects the host's own settings,
    is no obstacle: the kernel is asked through a procfs of the suite's own, which is mounted nowhere.
    """
    try:
        _set(Path("/proc/sys", name), value)
    except OSError as error:
        if in_own_namespace and error.errno in (errno.EROFS, errno.EACCES) and _set_unmounted(name, value):
            return
        raise NetworkError(f"sysctl {name}={value}: {error.strerror}", _hint(name, value, error)) from error


def _set(path: Path, value: str) -> None:
    if path.read_text().strip() != value:
        path.write_text(value)


def _hint(name: str, value: str, error: OSError) -> str:
    setting = f"{name.replace('/', '.')}={value}"
    if error.errno == errno.EROFS or os.geteuid() == 0:
        return f"in a container: start it with --sysctl {setting}; on the host: sysctl -w {setting}"
    return "run as root"


def _set_unmounted(name: str, value: str) -> bool:
    """Set it through a new procfs; returns whether that was allowed."""
    opened: list[int] = []
    try:
        opened.append(_call(FSOPEN, b"proc", 0))
        _call(FSCONFIG, opened[0], FSCONFIG_CMD_CREATE, None, None, 0)
        opened.append(_call(FSMOUNT, opened[0], 0, 0))
        opened.append(os.open(f"sys/{name}", os.O_WRONLY | os.O_CLOEXEC, dir_fd=opened[1]))
        os.write(opened[2], value.encode())
    except OSError:
        return False
    finally:
        for fd in opened:
            os.close(fd)
    return True


def _call(number: int, *arguments: object) -> int:
    result: int = _libc.syscall(number, *arguments)
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result
