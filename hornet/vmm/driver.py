"""What a VMM driver offers: one protocol, whichever VMM and accelerator is behind it (registry.py lists them)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from hornet.host.tools import HostTool
from hornet.spec.lane import Lane
from hornet.vmm.console import Console
from hornet.vmm.failure import FailureSignal


@dataclass(frozen=True)
class NetworkCard:
    """A VM's network card: a tap in a network namespace (None: this process's own). The tap must not be open."""

    namespace: str | None
    tap: str
    mac: str


@dataclass(frozen=True)
class MachineConfig:
    """One VM to start.

    directory: the VM's own, for console.log, vmm.log and its memory file; it must exist.
    disk: the VM's private, writable rootfs.ext4.
    user: numeric id of the user, and of its only group, that its VMM runs as; no two VMs have the same.
    card: None for a VM without a network card.
    """

    name: str
    directory: Path
    disk: Path
    user: int
    memory_mib: int
    vcpus: int
    card: NetworkCard | None = None

    @property
    def largest_file_bytes(self) -> int:
        """No file that its VMM writes has a reason to be larger than its disk or its memory."""
        return max(self.disk.stat().st_size, self.memory_mib << 20)


class MicroVM(Protocol):
    """A started VM. Every method is bounded in time and raises VMError: VMFailedError once the VM has failed."""

    lane: Lane
    config: MachineConfig
    pid: int
    console: Console
    failure: FailureSignal
    # Durations of what the driver did to start this VM, in milliseconds, in order: see docs/architecture.md.
    phases_ms: dict[str, float]

    def pause(self) -> None:
        """Stop the vCPUs."""

    def resume(self) -> None:
        """Let the vCPUs run."""

    def snapshot(self, memory: Path, state: Path) -> None:
        """Write the paused VM's memory and device state. The VM stays paused."""

    def set_balloon(self, taken_mib: int) -> None:
        """Ask the guest by its balloon to do without so much of its memory; 0 gives all back."""

    def reported_load_ms(self) -> float | None:
        """How long loading its snapshot took, by the VMM's own word; None from a VMM that does not say."""

    def memory_files(self) -> list[Path]:
        """The files that guest RAM is mapped from: what tells guest memory from the VMM's own."""

    @property
    def alive(self) -> bool:
        """Whether the VMM process still runs."""

    def kill(self) -> None:
        """End the VM at once and release what it holds. Safe to call twice."""


class Driver(Protocol):
    """How VMs are started with a VMM, and what it needs of the host. A driver's module has one object of it: DRIVER."""

    @property
    def program(self) -> HostTool:
        """The VMM's program."""

    def version(self) -> str:
        """The version of the program, as in `7.2.22`. Raises HostError if it is not installed."""

    def prepare(self) -> None:
        """Have ready what the first VM would have to wait for. Raises HostError, CommandError."""

    def lane_settings(self, lane: Lane) -> dict[str, str]:
        """What a guest of this lane finds on every host beside the machine of the spec: a snapshot depends on it."""

    def boot(self, lane: Lane, config: MachineConfig, *, kernel: Path, boot_args: str) -> MicroVM:
        """Start a VM from a kernel (vmlinux). It runs when this returns. Raises VMError."""

    def restore(
        self, lane: Lane, config: MachineConfig, *, memory: Path, state: Path, snapshottable: bool = False
    ) -> MicroVM:
        """Start a VM from a snapshot. It is paused when this returns: resume() lets it run.

        memory is mapped private, so that clones share its pages and it never changes. snapshottable: the clone can
        itself be snapshotted, which may cost time and memory. Raises VMError.
        """
