"""Boot and restore VMs with QEMU."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import BinaryIO

from hornet.errors import VMError
from hornet.host.file_copy import copy_into
from hornet.host.phases import timed
from hornet.host.proc import run
from hornet.host.tools import HostTool
from hornet.spec.firecracker import Firecracker
from hornet.spec.lane import Lane
from hornet.vmm.driver import Driver, MachineConfig
from hornet.vmm.process import open_given, prepare_jail
from hornet.vmm.qemu import command_line
from hornet.vmm.qemu.command_line import KERNEL, MEMORY, PROGRAM_VARIABLE, program
from hornet.vmm.qemu.machine import QemuVM


class QemuDriver:
    """QEMU's driver."""

    program_variable = PROGRAM_VARIABLE

    @property
    def program(self) -> HostTool:
        return program()

    def version(self) -> str:
        text = run([program().name, "--version"], timeout_s=20).output
        found = re.search(r"version (\S+)", text)
        if not found:
            raise VMError(f"{program().name} --version printed {text[:80]!r}, expected 'version N'")
        return found.group(1)

    def snapshot_format(self) -> None:
        """None: see Driver."""

    def hazards(self, firecracker: Firecracker, guest_kernel: str) -> list[str]:
        """Empty: none is known."""
        return []

    def prepare(self) -> None:
        prepare_jail()

    def lane_settings(self, lane: Lane, firecracker: Firecracker) -> dict[str, str]:
        return command_line.lane_settings(lane)

    def check_shared_root(self, firecracker: Firecracker) -> None:
        raise VMError(
            'QEMU\'s microVM has no virtio-pmem, which root = "shared" of a tier needs',
            'choose the lane firecracker/kvm, or root = "disk"',
        )

    def share_root(self, disk: Path, firecracker: Firecracker) -> None:
        self.check_shared_root(firecracker)

    def boot(self, lane: Lane, config: MachineConfig, *, kernel: Path, boot_args: str) -> QemuVM:
        """See Driver. QEMU enters the kernel through its PVH note."""
        more_args = command_line.emulated_boot_args(lane)
        arguments = ["-kernel", KERNEL, "-append", f"{boot_args} {more_args}".strip()]
        with open_given(kernel) as stream:
            return _with_own_memory(lane, config, arguments, {KERNEL: stream.fileno()}, [], _make_memory(config))

    def restore(
        self, lane: Lane, config: MachineConfig, *, memory: Path, state: Path, snapshottable: bool = False
    ) -> QemuVM:
        """See Driver. snapshottable=True copies the memory."""
        arguments = ["-incoming", "defer", "-S"]
        with open_given(state) as stream, open_given(memory) as ram:
            fds = [stream.fileno()]
            if snapshottable:
                vm = _with_own_memory(lane, config, arguments, {}, fds, _make_memory(config, ram))
            else:
                # Opened read-only: neither the guest nor a compromised QEMU can change it.
                arguments += command_line.memory_arguments(config, shared=False)
                vm = QemuVM(lane, config, arguments, {MEMORY: ram.fileno()}, fds)
            with timed(config.phases_ms, "load_ms"):
                vm.load(stream.fileno())
        return vm


DRIVER: Driver = QemuDriver()


def _make_memory(config: MachineConfig, parent: BinaryIO | None = None) -> BinaryIO:
    """Create a guest's own RAM, filled from a snapshot: a file in memory, so that guest memory never reaches a disk.

    Raises VMError if the snapshot's memory can't be read, or the host is out of memory.
    """
    memory = os.fdopen(os.memfd_create(command_line.memory_name(config)), "r+b", buffering=0)
    os.ftruncate(memory.fileno(), config.memory_mib << 20)
    if parent:
        try:
            copy_into(parent, memory)
        except OSError as error:
            memory.close()
            why = f"{parent.name}: can't be copied into memory: {error.strerror}"
            raise VMError(why, "check the file, and free memory") from error
    return memory


def _with_own_memory(
    lane: Lane,
    config: MachineConfig,
    arguments: Sequence[str],
    files: Mapping[str, int],
    fds: Sequence[int],
    memory: BinaryIO,
) -> QemuVM:
    arguments = [*command_line.memory_arguments(config, shared=True), *arguments]
    try:
        return QemuVM(lane, config, arguments, {**files, MEMORY: memory.fileno()}, fds, memory)
    except BaseException:
        memory.close()
        raise
