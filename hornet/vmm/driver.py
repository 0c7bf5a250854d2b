"""The protocol of a VMM driver, the same for every VMM and accelerator (registry.py lists them)."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from hornet.host.tools import HostTool
from hornet.spec.firecracker import Firecracker
from hornet.spec.lane import Lane
from hornet.vmm.console import Console
from hornet.vmm.failure import FailureSignal
from hornet.vmm.instructions import InstructionCounter


@dataclass(frozen=True)
class NetworkCard:
    """A VM's network card: a tap in a network namespace (None: that of this process). The tap must not be open."""

    namespace: str | None
    tap: str
    mac: str


@dataclass(frozen=True)
class MachineConfig:
    """One VM to start.

    directory: the VM's directory for console.log, vmm.log and its memory file; it must exist.
    disk: the VM's private, writable rootfs.ext4.
    user: numeric id of the user that the VMM runs as, and of its only group. Each VM has its own.
    card: None for a VM without a network card.
    firecracker: what its releases can do, and the options of its lane; other drivers do not read it.
    counter: counts the instructions of an emulated guest; None for no counting.
    phases_ms: the driver adds the durations of its steps to it, in order: see docs/architecture.md.
    shares_root: disk is the file that all clones of a snapshot have as their root file system; nobody may write it.
    """

    name: str
    directory: Path
    disk: Path
    user: int
    memory_mib: int
    vcpus: int
    firecracker: Firecracker
    card: NetworkCard | None = None
    counter: InstructionCounter | None = None
    phases_ms: dict[str, float] = field(default_factory=dict)
    shares_root: bool = False

    @property
    def largest_file_bytes(self) -> int:
        """The size limit of files that the VMM writes: none needs to be larger than the disk or the memory."""
        memory_mib = self.memory_mib + self.firecracker.options.memory_hotplug_mib
        return max(self.disk.stat().st_size, memory_mib << 20)


class OrderLine(Protocol):
    """A line to the guest's restore agent: the serial console, or a vsock connection."""

    def send(self, text: str) -> None:
        """Send text to the agent."""

    def wait_for(self, pattern: str, timeout_s: float) -> re.Match[str]:
        """Wait for a regular expression (multi-line mode) in a complete line of its answers."""


class MicroVM(Protocol):
    """A started VM. Every method is bounded in time and raises VMError: VMFailedError once the VM has failed.

    prints: whether what the guest prints arrives at the console. orders: where its restore agent takes orders.
    """

    lane: Lane
    config: MachineConfig
    pid: int
    console: Console
    failure: FailureSignal
    prints: bool
    orders: OrderLine

    def pause(self) -> None:
        """Stop the vCPUs."""

    def resume(self) -> None:
        """Let the vCPUs run."""

    def snapshot(self, memory: Path, state: Path) -> None:
        """Write the paused VM's memory and device state. The VM stays paused."""

    def set_balloon(self, taken_mib: int) -> None:
        """Ask the guest to give up `taken_mib` of its memory to the balloon; 0 returns all of it."""

    def reported_load_ms(self) -> float | None:
        """How long loading its snapshot took according to the VMM; None if the VMM does not report it."""

    def memory_files(self) -> list[Path]:
        """The files that guest RAM is mapped from. They tell guest memory from the VMM's own memory."""

    @property
    def alive(self) -> bool:
        """Whether the VMM process still runs."""

    def kill(self) -> None:
        """End the VM immediately and release its resources. Safe to call twice."""


class Driver(Protocol):
    """Starts VMs with one VMM, and reports what the VMM needs on the host. A driver's module exports one as DRIVER."""

    # The environment variable that names another program of this VMM, in this process and those that it starts.
    program_variable: str

    @property
    def program(self) -> HostTool:
        """The VMM's program."""

    def version(self) -> str:
        """The version of the program, as in `7.2.22`. Raises HostError if it is not installed."""

    def snapshot_format(self) -> str | None:
        """The version of the format of its snapshots; None if each version of the VMM has its own."""

    def hazards(self, firecracker: Firecracker, guest_kernel: str) -> list[str]:
        """What is known to go wrong in restored guests of this version of the VMM: a sentence each, with the remedy.

        guest_kernel: the guest's release of Linux, as in `6.1.192`. Raises HostError if the VMM is not installed.
        """

    def prepare(self) -> None:
        """Do in advance what the first VM would have to wait for. Raises HostError, CommandError."""

    def lane_settings(self, lane: Lane, firecracker: Firecracker) -> dict[str, str]:
        """What a guest of this lane sees on every host, besides the machine of the spec. A snapshot depends on it."""

    def check_shared_root(self, firecracker: Firecracker) -> None:
        """Raises VMError with the reason if this VMM has no MachineConfig.shares_root, HostError if it is missing."""

    def share_root(self, disk: Path, firecracker: Firecracker) -> None:
        """Let the VMM of every clone read a snapshot's root file system. Raises VMError."""

    def boot(self, lane: Lane, config: MachineConfig, *, kernel: Path, boot_args: str) -> MicroVM:
        """Start a VM from a kernel (vmlinux). It is running when this returns. Raises VMError."""

    def restore(
        self, lane: Lane, config: MachineConfig, *, memory: Path, state: Path, snapshottable: bool = False
    ) -> MicroVM:
        """Start a VM from a snapshot. It is paused when this returns; resume() runs it.

        memory is mapped private: clones share its pages, and the file never changes. snapshottable: the clone can be
        snapshotted itself, which may cost time and memory. Raises VMError.
        """
