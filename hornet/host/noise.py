"""What a host does beside a measurement: read before it and after it, in a few milliseconds."""

from __future__ import annotations

import os
import re
import statistics
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

STAT = Path("/proc/stat")
CPUINFO = Path("/proc/cpuinfo")
FREQUENCIES = "devices/system/cpu/cpu*/cpufreq/scaling_cur_freq"
# Names of VMMs as in /proc/PID/comm, which has 15 characters.
VMM_NAMES = re.compile(r"^(qemu-system|qemu-kvm|firecracker|cloud-hypervis|crosvm)")


@dataclass(frozen=True)
class Reading:
    """The state of the host at one moment.

    Ticks are of all processors since the host's start (proc_stat(5)); own_ticks: those of this process and its
    descendants. mhz: the mean frequency now, None where no file shows it. other_vms: VMMs of other processes.
    """

    clock_ns: int
    wall_clock_ns: int
    ticks: int
    busy_ticks: int
    steal_ticks: int
    own_ticks: float
    load_per_core: float
    mhz: float | None
    other_vms: int


def read_host() -> Reading:
    """The host now."""
    own = _descendants()
    user, nice, system, idle, wait, irq, soft_irq, steal = map(int, STAT.read_text().split(maxsplit=9)[1:9])
    busy = user + nice + system + irq + soft_irq
    return Reading(
        clock_ns=time.monotonic_ns(),
        wall_clock_ns=time.time_ns(),
        ticks=busy + idle + wait + steal,
        busy_ticks=busy,
        steal_ticks=steal,
        own_ticks=sum(map(_seconds, own)) * os.sysconf("SC_CLK_TCK"),
        load_per_core=os.getloadavg()[0] / (os.cpu_count() or 1),
        mhz=_mhz(),
        other_vms=_vms_except({process.pid for process in own}),
    )


def _descendants() -> list[psutil.Process]:
    me = psutil.Process()
    return [me, *me.children(recursive=True)]


def _seconds(process: psutil.Process) -> float:
    """Processor time of a process and of its children that have ended."""
    with suppress(psutil.NoSuchProcess):
        times = process.cpu_times()
        return float(times.user + times.system + times.children_user + times.children_system)
    return 0.0


def _vms_except(own: set[int]) -> int:
    processes = psutil.process_iter(["name"])
    return sum(bool(VMM_NAMES.match(each.info["name"] or "")) for each in processes if each.pid not in own)


def _mhz() -> float | None:
    texts = [path.read_text().strip() for path in Path("/sys").glob(FREQUENCIES)]
    found = [int(khz) / 1000 for khz in texts if khz.isdigit()]
    found = found or [float(mhz) for mhz in re.findall(r"^cpu MHz\s*:\s*([\d.]+)", CPUINFO.read_text(), re.MULTILINE)]
    return statistics.fmean(found) if found else None
