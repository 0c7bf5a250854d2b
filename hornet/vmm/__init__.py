"""Virtual machine monitors behind one protocol: see base.py. Which one runs is the lane's choice."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from types import ModuleType

from hornet.host.phases import timed
from hornet.spec.lane import Lane
from hornet.vmm import firecracker, qemu
from hornet.vmm.console import Console
from hornet.vmm.driver import MachineConfig, MicroVM, NetworkCard
from hornet.vmm.process import prepare_jail

__all__ = [
    "Console",
    "MachineConfig",
    "MicroVM",
    "NetworkCard",
    "boot_vm",
    "lane_settings",
    "prepare",
    "restore_vm",
    "timed",
    "vmm_version",
]


def boot_vm(lane: Lane, config: MachineConfig, *, kernel: Path, boot_args: str) -> MicroVM:
    """Start a VM from a kernel. It runs when this returns. Raises VMError."""
    vm: MicroVM = _driver(lane).boot(lane, config, kernel=kernel, boot_args=boot_args)
    return vm


def restore_vm(lane: Lane, config: MachineConfig, *, memory: Path, state: Path, snapshottable: bool = False) -> MicroVM:
    """Start a VM from a snapshot's memory and state. It is paused when this returns. Raises VMError."""
    vm: MicroVM = _driver(lane).restore(lane, config, memory=memory, state=state, snapshottable=snapshottable)
    return vm


def prepare(lane: Lane) -> None:
    """Have ready what the lane's first VM would have to wait for. Raises HostError, CommandError."""
    if lane.vmm == "qemu":
        prepare_jail()


def lane_settings(lane: Lane) -> dict[str, str]:
    """What a guest of this lane finds on every host beside the machine of the spec."""
    settings: dict[str, str] = _driver(lane).lane_settings(lane)
    return settings


@cache
def vmm_version(lane: Lane) -> str:
    """The version of the lane's VMM. Raises HostError if it is not installed."""
    version: str = _driver(lane).version()
    return version


def _driver(lane: Lane) -> ModuleType:
    return {"firecracker": firecracker, "qemu": qemu}[lane.vmm]
