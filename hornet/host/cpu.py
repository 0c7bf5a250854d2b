"""The host's CPU, as far as a snapshot depends on it."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

CPUINFO = Path("/proc/cpuinfo")


def cpu_model() -> str:
    """The model name from /proc/cpuinfo."""
    return _field("model name") or "unknown"


def cpu_features_sha256() -> str:
    """A fingerprint of the CPU's feature flags, independent of their order."""
    return hashlib.sha256(" ".join(sorted(_field("flags").split())).encode()).hexdigest()


def microcode() -> str:
    """The revision of the CPU's microcode, as in `0x2b000603`; "" if the kernel does not say."""
    return _field("microcode")


def _field(name: str) -> str:
    found = re.search(rf"^{name}\s*:\s*(.*)$", CPUINFO.read_text(), re.MULTILINE)
    return found[1].strip() if found else ""
