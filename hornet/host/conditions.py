"""What this host allows, each tried by use: what containers, CI runners and odd disks take away without a word."""

from __future__ import annotations

import ctypes
import fcntl
import mmap
import os
import platform
import re
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path

import psutil

from hornet.errors import HostError

ARCHITECTURE = "x86_64"
IP_FORWARD = Path("/proc/sys/net/ipv4/ip_forward")
KSM_RUN = Path("/sys/kernel/mm/ksm/run")
LOOP_CONTROL = Path("/dev/loop-control")
LOOP_CTL_GET_FREE = 0x4C82
# File systems without a disk: their pages are the page cache, so nothing there can be cold.
IN_MEMORY = frozenset({"tmpfs", "ramfs"})
CPUINFO = Path("/proc/cpuinfo")
# rdtsc; shl rdx, 32; or rax, rdx; ret
READ_TSC = bytes.fromhex("0f31 48c1e220 4809d0 c3")
TSC_WINDOW_S = 0.02
TSC_WINDOWS = 3


def require_architecture() -> None:
    """Raises HostError on another architecture: kernels, images and VMMs of the suite are for x86-64 only."""
    found = platform.machine()
    if found != ARCHITECTURE:
        raise HostError(
            f"this machine is {found}, expected {ARCHITECTURE}: kernels, images and VMs are for x86-64 only",
            "use an x86-64 machine; reports, gate and records work anywhere",
        )


def forwarding_obstacle() -> str:
    """Why ip_forward is disabled and cannot be enabled here; "" if it is enabled or can be."""
    try:
        if IP_FORWARD.read_text().strip() == "1":
            return ""
        with IP_FORWARD.open("r+"):
            return ""
    except OSError as error:
        return f"{IP_FORWARD} is not 1 and cannot be set: {error.strerror}"


def loop_obstacle() -> str:
    """Why there are no loop devices; "" if one can be had."""
    try:
        control = os.open(LOOP_CONTROL, os.O_RDWR | os.O_CLOEXEC)
    except OSError as error:
        return f"{LOOP_CONTROL}: {error.strerror}"
    try:
        number = fcntl.ioctl(control, LOOP_CTL_GET_FREE)
        os.close(os.open(f"/dev/loop{number}", os.O_RDWR | os.O_CLOEXEC))
    except OSError as error:
        return f"a free loop device cannot be opened: {error.strerror}"
    finally:
        os.close(control)
    return ""


def file_system(path: Path) -> str:
    """The type of the file system on which a path lies, as in `ext4`; "unknown" if it is not listed."""
    real = os.path.realpath(path)
    mounts = [it for it in psutil.disk_partitions(all=True) if f"{real}/".startswith(f"{it.mountpoint.rstrip('/')}/")]
    # Of several mounts on one directory, the last is visible.
    return max(enumerate(mounts), key=lambda it: (len(it[1].mountpoint), it[0]))[1].fstype if mounts else "unknown"


def keeps_no_cold_files(path: Path) -> bool:
    """Whether files there are always in memory, so that nothing can be measured cold."""
    return file_system(path) in IN_MEMORY


def swap_mb() -> int:
    """The size of the host's swap in MB; 0 without."""
    return psutil.swap_memory().total // 1_000_000


def ksm_runs() -> bool:
    """Whether the kernel merges equal pages of VMs (kernel samepage merging)."""
    try:
        return KSM_RUN.read_text().strip() == "1"
    except OSError:
        return False


@cache
def tsc_khz() -> int:
    """The rate of this host's time stamp counter in kHz, measured.

    "cpu MHz" of /proc/cpuinfo is the core's present clock: on bare metal it changes with the load, and the counter does
    not. It stands in where no code may be run from memory (SELinux). Raises HostError if it is missing, too.
    """
    try:
        return measured_tsc_khz()
    except OSError:
        found = re.search(r"^cpu MHz\s*:\s*([\d.]+)", CPUINFO.read_text(), re.MULTILINE)
    if not found:
        raise HostError(
            "the time stamp counter cannot be read, and /proc/cpuinfo has no 'cpu MHz' line",
            "use a KVM lane, or allow this process executable memory",
        )
    return int(float(found[1]) * 1000)


def measured_tsc_khz() -> int:
    """The median of several windows of the monotonic clock, in kHz. Raises OSError where that is not allowed."""
    if platform.machine() != ARCHITECTURE:
        raise OSError(f"no time stamp counter on {platform.machine()}")
    with mmap.mmap(-1, mmap.PAGESIZE, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC) as code:
        code.write(READ_TSC)
        view = ctypes.c_char.from_buffer(code)
        read = ctypes.CFUNCTYPE(ctypes.c_uint64)(ctypes.addressof(view))
        rates = sorted(_rate_khz(read) for _ in range(TSC_WINDOWS))
        del view
    return rates[TSC_WINDOWS // 2]


def _rate_khz(counter: Callable[[], int]) -> int:
    first_ns, first = time.clock_gettime_ns(time.CLOCK_MONOTONIC_RAW), counter()
    time.sleep(TSC_WINDOW_S)
    last_ns, last = time.clock_gettime_ns(time.CLOCK_MONOTONIC_RAW), counter()
    return round((last - first) * 1_000_000 / (last_ns - first_ns))
