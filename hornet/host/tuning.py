"""How this host is tuned: kernel settings that change times and densities, and that may differ from run to run.

They are noted with each session of a run, not in the host's fingerprint: a host stays the same host when its frequency
governor changes, and a report shows what was set.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

UNKNOWN = "not shown by this kernel"
# Sources: Documentation/admin-guide of Linux (pm/cpufreq, pm/intel_pstate, mm/transhuge, mm/ksm, sysctl/vm, cpu).
FILES = {
    "frequency governor": ("sys/devices/system/cpu/cpu*/cpufreq/scaling_governor",),
    "turbo disabled": ("sys/devices/system/cpu/intel_pstate/no_turbo",),
    "boost": ("sys/devices/system/cpu/cpufreq/boost",),
    "idle driver": ("sys/devices/system/cpu/cpuidle/current_driver",),
    "two threads per core": ("sys/devices/system/cpu/smt/active",),
    "transparent huge pages": ("sys/kernel/mm/transparent_hugepage/enabled",),
    "huge pages reserved": ("proc/sys/vm/nr_hugepages",),
    "merging of equal pages (KSM)": ("sys/kernel/mm/ksm/run",),
    "swappiness": ("proc/sys/vm/swappiness",),
    "overcommit": ("proc/sys/vm/overcommit_memory",),
    "clock source": ("sys/devices/system/clocksource/clocksource0/current_clocksource",),
    "nested virtualization": ("sys/module/kvm_intel/parameters/nested", "sys/module/kvm_amd/parameters/nested"),
}
_CHOSEN = re.compile(r"\[(\S+)\]")


def tuning(root: Path = Path("/")) -> dict[str, str]:
    """The settings by title, as the kernel shows them: several values if processors differ, UNKNOWN for none."""
    return {title: _shown(root, patterns) for title, patterns in FILES.items()}


def _shown(root: Path, patterns: Iterable[str]) -> str:
    found = {_value(path): None for pattern in patterns for path in sorted(root.glob(pattern))}
    return ", ".join(value for value in found if value) or UNKNOWN


def _value(path: Path) -> str:
    """The content of a file of one line; of a choice such as `always [madvise] never`, the chosen word."""
    try:
        text = path.read_text(errors="replace").strip()
    except OSError:
        return ""
    chosen = _CHOSEN.search(text)
    return chosen[1] if chosen else text
