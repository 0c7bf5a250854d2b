"""Facts about this host, for `hornetos host` and as the fingerprint of every measured value."""

from __future__ import annotations

import os
import platform
import re
import shlex
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import psutil

from hornet.errors import HostError
from hornet.host.conditions import (
    file_system,
    forwarding_obstacle,
    ksm_runs,
    loop_obstacle,
    measured_tsc_khz,
    swap_mb,
)
from hornet.host.cpu import cpu_features_sha256, cpu_model, microcode
from hornet.host.emulation import cpu_is_emulated
from hornet.host.file_copy import clone_file
from hornet.host.owned import work_directory
from hornet.host.tools import HostTool, all_tools
from hornet.host.tuning import tuning
from hornet.host.workspace import Workspace
from hornet.installation import IN_CHECKOUT, SOURCE

CAP_NET_ADMIN = 12


def fingerprint(vmms: Mapping[str, HostTool]) -> dict[str, Any]:
    """The host facts on which a measured value depends; constant on one host. vmms: programs by the VMM's name."""
    memory = psutil.virtual_memory().total
    return {
        "cpu": cpu_model(),
        "cpu_features": cpu_features_sha256()[:12],
        "cores": os.cpu_count(),
        "memory_mib": memory >> 20,
        "kernel": platform.release(),
        **({"microcode": revision} if (revision := microcode()) else {}),
        **({"emulated_cpu": True} if cpu_is_emulated() else {}),
        **{name: program.version() for name, program in vmms.items() if not program.missing},
        # Named only where they are on, so that records from before stay comparable.
        **({"swap_mb": swap} if (swap := swap_mb()) else {}),
        **({"ksm": True} if ksm_runs() else {}),
    }


def require_root() -> None:
    """Raises HostError without root: namespaces, taps and chroots need it."""
    if os.geteuid() != 0:
        raise HostError("this needs root to create namespaces, taps and mounts", with_sudo(sys.argv))


def with_sudo(argv: Sequence[str]) -> str:
    """The command that runs this program as root; sudo does not find programs of a virtual environment by name."""
    program, module = Path(argv[0]), Path(argv[0]).parent.name
    if module == "hornet_cli":
        words = [str(SOURCE / "hornetos") if IN_CHECKOUT else shutil.which("hornetos") or "hornetos"]
    elif program.name == "__main__.py":
        words = [sys.executable, "-m", module]
    else:
        words = [argv[0]]
    return shlex.join(["sudo", *words, *argv[1:]])


def host_facts(workspace: Workspace, vmms: Mapping[str, HostTool]) -> dict[str, Any]:
    """Everything that `hornetos host` shows about the machine, ready for JSON. vmms: programs by the VMM's name."""
    usage = shutil.disk_usage(workspace.root)
    return {
        **fingerprint(vmms),
        "root": os.geteuid() == 0,
        "cap_net_admin": _has_capability(CAP_NET_ADMIN),
        "python": platform.python_version(),
        "apt": shutil.which("apt-get") is not None,
        "tools": {tool.name: tool.version() for tool in all_tools(vmms)},
        "packages": {tool.name: tool.source for tool in all_tools(vmms)},
        "home": str(workspace.root),
        "free_mb": usage.free // 1_000_000,
        "reflink": _copies_by_reflink(workspace),
        "cgroup": 2 if Path("/sys/fs/cgroup/cgroup.controllers").exists() else 1,
        "tun": Path("/dev/net/tun").exists(),
        "architecture": platform.machine(),
        "home_file_system": file_system(workspace.root),
        "forwarding": forwarding_obstacle() or "works",
        "loop_devices": loop_obstacle() or "work",
        "swap_mb": swap_mb(),
        "ksm": ksm_runs(),
        "tsc_mhz": _tsc_mhz(),
        "tuning": tuning(),
    }


def _tsc_mhz() -> float | None:
    """The measured rate of the time stamp counter; None if no code may be run from memory to read it."""
    try:
        return measured_tsc_khz() / 1000
    except OSError:
        return None


def _has_capability(number: int) -> bool:
    status = Path("/proc/self/status").read_text()
    found = re.search(r"^CapEff:\s*([0-9a-f]+)$", status, re.MULTILINE)
    return bool(found and int(found[1], 16) >> number & 1)


def _copies_by_reflink(workspace: Workspace) -> bool:
    """Whether the file system makes reflinks; tried with a small file."""
    with work_directory(workspace.run, "reflink") as directory:
        source = directory / "source"
        try:
            source.write_bytes(b"x" * 4096)
        except OSError as error:  # the error of a write has no file name
            raise OSError(error.errno, error.strerror, str(source)) from error
        return clone_file(source, directory / "copy") == "reflink"
