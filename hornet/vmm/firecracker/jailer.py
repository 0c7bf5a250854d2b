"""Firecracker in its own jailer, as in production, in place of the suite's cell (hornet/vmm/cell.py).

The jailer makes a root directory for each VM, with a copy of the program and a few devices, enters it and the VM's
network namespace, sets limits and control groups, and becomes the VM's user (Firecracker: docs/jailer.md). That root
is the working directory. It knows no other groups than one, so that is the group which may read snapshots' memory.
"""

from __future__ import annotations

import os
import select
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import psutil

from hornet.errors import HostError, VMError
from hornet.formats.elf import read_linkage
from hornet.network import netns
from hornet.vmm.driver import MachineConfig
from hornet.vmm.jail import VISIBLE, hide, show

BASE = "jail"
CGROUPS, PARENT_CGROUP = Path("/sys/fs/cgroup"), "hornetos"
END_TIMEOUT_S = 10.0


def jailer_of(firecracker: Path) -> Path:
    """The jailer that lies beside a Firecracker. Raises HostError if there is none."""
    jailer = firecracker.with_name(firecracker.name.replace("firecracker", "jailer"))
    if not os.access(jailer, os.X_OK):
        raise HostError(
            f"{jailer}: not found, which firecracker.options.jailer needs",
            "hornetos firecracker install fetches a release with its jailer",
        )
    return jailer


def root_of(config: MachineConfig, firecracker: Path) -> Path:
    """The root directory that the jailer uses for a VM, in the VM's own directory."""
    return config.directory / BASE / firecracker.name / config.name / "root"


def jailer_command(config: MachineConfig, firecracker: Path) -> list[str]:
    """The command line up to the arguments of Firecracker."""
    version = "2" if (CGROUPS / "cgroup.controllers").exists() else "1"
    command = [str(jailer_of(firecracker)), "--id", config.name, "--exec-file", str(firecracker)]
    command += ["--uid", str(config.user), "--gid", str(config.firecracker.memory_group)]
    command += ["--chroot-base-dir", str(config.directory / BASE)]
    command += ["--resource-limit", f"fsize={config.largest_file_bytes}"]
    if settings := config.firecracker.options.jailer_cgroups:
        command += ["--cgroup-version", version, "--parent-cgroup", PARENT_CGROUP]
        command += [word for setting in settings for word in ("--cgroup", setting)]
    if config.card and config.card.namespace:
        command += ["--netns", str(netns.RUN_NETNS / config.card.namespace)]
    return [*command, "--"]


class JailerRoot:
    """Files of the host in a VM's root directory. Made and closed on the thread that starts jailers."""

    def __init__(self, root: Path, name: str, program: Path, files: Mapping[str, Path]) -> None:
        """name: the VM's. files: what Firecracker may read, by name. Raises HostError."""
        self._mounted: list[Path] = []
        self._name = name
        for file, source in files.items():
            (root / file).touch()
            self._show(source, root / file)
        linkage = read_linkage(program)
        if linkage and linkage.interpreter:
            # No release, but one that was built by hand: it needs the host's libraries.
            for source in (path for path in map(Path, VISIBLE) if path.is_dir() and not path.is_symlink()):
                (root / source.relative_to("/")).mkdir()
                self._show(source, root / source.relative_to("/"))
            for link in (path for path in map(Path, VISIBLE) if path.is_symlink()):
                (root / link.relative_to("/")).symlink_to(link.readlink())

    def _show(self, source: Path, target: Path) -> None:
        show(source, target, writable=False)
        self._mounted.append(target)

    def path(self, name: str) -> str:
        """The path of a file as Firecracker sees it."""
        return f"/{name}"

    def mapped_path(self, name: str) -> Path:
        """The path of a file as /proc/PID/smaps shows it."""
        return Path("/", name)

    def close(self) -> None:
        """Hide everything again, and remove the VM's control groups: of version 1 one for each controller."""
        for target in self._mounted:
            hide(target)
        for parent in (CGROUPS / PARENT_CGROUP, *CGROUPS.glob(f"*/{PARENT_CGROUP}")):
            for group in (parent / self._name, parent):
                # Other VMs may use the parent.
                with suppress(OSError):
                    group.rmdir()


class Jailed:
    """The Firecracker that a jailer became: a descendant of the process that was started."""

    def __init__(self, started_pid: int, program: str) -> None:
        """Raises VMError if it is gone."""
        try:
            family = psutil.Process(started_pid).children(recursive=True)
            self.pid = next(each.pid for each in family if each.name().startswith(program[:15]))
            self._fd = os.pidfd_open(self.pid)
        except (psutil.Error, StopIteration, ProcessLookupError) as error:
            raise VMError(f"the jailer (process {started_pid}) has no {program}", "read the VMM's log") from error

    def wait(self) -> None:
        """Wait until it has ended, after the process that was started has."""
        ended = select.poll()
        ended.register(self._fd, select.POLLIN)
        ended.poll(END_TIMEOUT_S * 1000)
        os.close(self._fd)
