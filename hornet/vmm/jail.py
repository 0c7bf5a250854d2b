"""A jail for VMM processes: they see programs and libraries, a few devices and no files of any user.

The thread that starts VMMs creates namespaces once, and every VMM that it starts inherits them. A restore therefore
spends no time on the jail. The jail is a chroot. A process without capabilities can't leave it, and the kernel lets no
process in it create user namespaces.
"""

from __future__ import annotations

import ctypes
import os
import stat
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from hornet.errors import HostError

# In the jail's namespace only, this hides the host's /sys: every host has one, and no VM has its files there.
ROOT = Path("/sys")
VISIBLE = ("/usr", "/bin", "/sbin", "/lib", "/lib64", "/etc/ld.so.cache", "/dev/null", "/dev/urandom")
CLONE_NEWNS, CLONE_NEWUTS, CLONE_NEWIPC, CLONE_NEWNET = 0x00020000, 0x04000000, 0x08000000, 0x40000000
MS_RDONLY, MS_NOSUID, MS_NODEV, MS_REMOUNT, MS_BIND, MS_REC, MS_SLAVE = 1, 2, 4, 32, 0x1000, 0x4000, 1 << 19
MNT_DETACH = 2

_libc = ctypes.CDLL(None, use_errno=True)


def enter_jail(files: Mapping[Path, bytes]) -> None:
    """Move the calling thread, and the processes that it starts later, into the jail. Other threads are not affected.

    files: additional read-only files in the jail. Raises HostError without the necessary privileges.
    """
    _build()
    for path, content in files.items():
        inside = _inside(path)
        inside.write_bytes(content)
        inside.chmod(0o444)
    _mount("none", ROOT, MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NODEV)
    for mounted in _mounts_elsewhere():
        _libc.umount2(mounted, MNT_DETACH)
    os.chroot(ROOT)
    os.chdir("/")


def build_jail(devices: Iterable[Path], directory: Path) -> None:
    """Build a jail with device nodes that everybody in it may open, in a mount namespace of the calling thread.

    The thread stays outside, so that it can show files of the host in `directory`. A process enters the jail by
    chroot(2). Devices that the host lacks are left out. Raises HostError without the necessary privileges.
    """
    _build()
    for device in filter(Path.exists, devices):
        _make_node(device)
    place = _inside(directory)
    place.mkdir()
    _mount("none", ROOT, MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID)
    # Its own file system, because directories are made in it later. Nobody but root can list it.
    _mount("tmpfs", place, MS_NOSUID | MS_NODEV, kind="tmpfs", options="mode=0711,size=4m")


def _make_node(device: Path) -> None:
    inside = _inside(device)
    try:
        os.mknod(inside, stat.S_IFCHR, device.stat().st_rdev)
        inside.chmod(0o666)
    except PermissionError:
        # In a user namespace, as of many containers. The host's own node then, which may not be for everybody.
        inside.touch()
        _mount(str(device), inside, MS_BIND)


def keep_mounts() -> None:
    """Give the calling thread a mount namespace of its own, for show(). Raises HostError."""
    _check(_libc.unshare(CLONE_NEWNS), "unshare")
    _mount("none", Path("/"), MS_REC | MS_SLAVE)


def show(source: Path, target: Path, *, writable: bool) -> None:
    """Show a file or directory of the host as `target`, which must exist. For the thread that built the jail."""
    _mount(str(source), target, MS_BIND)
    _mount("none", target, MS_REMOUNT | MS_BIND | MS_NOSUID | MS_NODEV | (0 if writable else MS_RDONLY))


def hide(target: Path) -> None:
    """Undo show(). A process that has opened the file keeps it."""
    _check(_libc.umount2(os.fsencode(target), MNT_DETACH), f"unmounting {target}")


def _build() -> None:
    _check(_libc.unshare(CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWNET), "unshare")
    # A slave mount: later unmounts on the host propagate here, and nothing done here propagates to the host.
    _mount("none", Path("/"), MS_REC | MS_SLAVE)
    _mount("tmpfs", ROOT, MS_NOSUID, kind="tmpfs", options="mode=0755,size=4m")
    for path in map(Path, VISIBLE):
        _show(path)


def _show(path: Path) -> None:
    """Show a file or directory of the host under the same name, read-only. A link stays the same link."""
    if path.is_symlink():
        _inside(path).symlink_to(path.readlink())
    elif path.exists():
        inside = _inside(path)
        inside.mkdir() if path.is_dir() else inside.touch()
        _mount(str(path), inside, MS_BIND | MS_REC)
        if path.is_dir():
            _mount("none", inside, MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NODEV)


def _inside(path: Path) -> Path:
    inside = ROOT / path.relative_to("/")
    missing = [directory for directory in inside.parents if not directory.exists()]
    inside.parent.mkdir(parents=True, exist_ok=True)
    for directory in missing:
        directory.chmod(0o755)  # regardless of the umask: the VMM's user must be able to enter
    return inside


def _mounts_elsewhere() -> Iterator[bytes]:
    """Mount points outside the jail, except the root. A parent comes before the mounts in it."""
    root = str(ROOT).encode()
    for line in Path("/proc/thread-self/mountinfo").read_bytes().splitlines():
        # Blanks are escaped, as \\040.
        point = line.split()[4].decode("unicode_escape").encode("latin-1")
        if point not in (b"/", root) and not point.startswith(root + b"/"):
            yield point


def _mount(source: str, target: Path, flags: int, *, kind: str | None = None, options: str | None = None) -> None:
    words = [os.fsencode(word) if word else None for word in (source, str(target), kind)]
    _check(_libc.mount(*words, flags, options.encode() if options else None), f"mounting {target}")


def _check(code: int, what: str) -> None:
    if code:
        why = os.strerror(ctypes.get_errno())
        raise HostError(f"can't confine VMMs on this host: {what}: {why}", "run as root, with CAP_SYS_ADMIN")
