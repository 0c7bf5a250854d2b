"""What this host is and has: for `hornetos host`, and as the fingerprint beside every measured value."""

from __future__ import annotations

import os
import platform
import re
import shlex
import shutil
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import psutil

from hornet.errors import HornetError, HostError
from hornet.host.cpu import cpu_features_sha256, cpu_model
from hornet.host.file_copy import clone_file
from hornet.host.owned import work_directory
from hornet.host.proc import run
from hornet.host.workspace import CHECKOUT, Workspace

CAP_NET_ADMIN = 12
# command: (the Debian package that has it, how it tells its version)
TOOLS = {
    "qemu-system-x86_64": ("qemu-system-x86", "--version"),
    "firecracker": ("no Debian package: take a release binary", "--version"),
    "mmdebstrap": ("mmdebstrap", "--version"),
    "mkfs.ext4": ("e2fsprogs", "-V"),
    "e2fsck": ("e2fsprogs", "-V"),
    "nft": ("nftables", "--version"),
    "ip": ("iproute2", "-V"),
    "ssh-keygen": ("openssh-client", ""),
    "setpriv": ("util-linux", "--version"),
    "gcc": ("build-essential", "--version"),
    "make": ("build-essential", "--version"),
    "ccache": ("ccache", "--version"),
}
# What a lane or a build can't do without.
REQUIRED_TOOLS = tuple(name for name in TOOLS if name != "firecracker")


def fingerprint() -> dict[str, Any]:
    """What a measured value depends on, the same each time on the same host."""
    memory = psutil.virtual_memory().total
    return {
        "cpu": cpu_model(),
        "cpu_features": cpu_features_sha256()[:12],
        "cores": os.cpu_count(),
        "memory_mib": memory >> 20,
        "kernel": platform.release(),
        "qemu": tool_version("qemu-system-x86_64"),
    }


def require_root() -> None:
    """Raises HostError without root: namespaces, taps and chroots need it."""
    if os.geteuid() != 0:
        raise HostError("this needs root: namespaces, taps and mounts are made", with_sudo(sys.argv))


def with_sudo(argv: Sequence[str]) -> str:
    """The command that runs this program again as root; sudo alone would not find one of a virtual environment."""
    program, module = Path(argv[0]), Path(argv[0]).parent.name
    if module == "hornet_cli":
        words = [str(CHECKOUT / "hornetos")]
    elif program.name == "__main__.py":
        words = [sys.executable, "-m", module]
    else:
        words = [argv[0]]
    return shlex.join(["sudo", *words, *argv[1:]])


def require_tools(names: Iterable[str] = REQUIRED_TOOLS) -> None:
    """Raises HostError naming every tool that is missing, with its package."""
    missing = [f"{name} (package {TOOLS[name][0]})" for name in names if not shutil.which(name)]
    if missing:
        raise HostError(f"missing on PATH: {', '.join(missing)}", "sudo ./hornetos host installs what it can")


def tool_version(name: str) -> str | None:
    """The version that a tool tells; None if it is not there; "?" if it doesn't tell."""
    if not shutil.which(name):
        return None
    argument = TOOLS[name][1]
    if not argument:
        return "?"
    try:
        output = run([name, argument], timeout_s=20).output
    except HornetError:
        return "?"
    found = re.search(r"\d+\.\d+(?:\.\d+)*", output)
    return found[0] if found else "?"


def host_facts(workspace: Workspace) -> dict[str, Any]:
    """Everything that `hornetos host` shows about the machine, JSON-able."""
    usage = shutil.disk_usage(workspace.root)
    return {
        **fingerprint(),
        "root": os.geteuid() == 0,
        "cap_net_admin": _has_capability(CAP_NET_ADMIN),
        "python": platform.python_version(),
        "tools": {name: tool_version(name) for name in TOOLS},
        "packages": {name: package for name, (package, _) in TOOLS.items()},
        "home": str(workspace.root),
        "free_mb": usage.free // 1_000_000,
        "reflink": _copies_by_reflink(workspace),
        "cgroup": 2 if Path("/sys/fs/cgroup/cgroup.controllers").exists() else 1,
        "tun": Path("/dev/net/tun").exists(),
    }


def _has_capability(number: int) -> bool:
    status = Path("/proc/self/status").read_text()
    found = re.search(r"^CapEff:\s*([0-9a-f]+)$", status, re.MULTILINE)
    return bool(found and int(found[1], 16) >> number & 1)


def _copies_by_reflink(workspace: Workspace) -> bool:
    """Proved by making one."""
    with work_directory(workspace.run, "reflink") as directory:
        source = directory / "source"
        try:
            source.write_bytes(b"x" * 4096)
        except OSError as error:  # a write knows only a descriptor
            raise OSError(error.errno, error.strerror, str(source)) from error
        return clone_file(source, directory / "copy") == "reflink"
