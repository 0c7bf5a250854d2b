"""A guest of a few instructions instead of Linux, for tests of the Firecracker driver; fixtures, as a plugin.

Many hosts with a /dev/kvm can't run Linux in it; nearly all run this: it prints the letters of the alphabet, one a
line, and keeps in memory which is next. So what goes on after a restore is seen on the console.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from string import ascii_lowercase
from typing import Any

import pytest

from hornet.host.proc import run
from hornet.network import HostNet
from hornet.spec.model import Spec
from hornet.vm import kvm
from hornet.vmm.driver import MachineConfig, MicroVM, NetworkCard
from hornet.vmm.firecracker.driver import DRIVER
from hornet.vmm.registry import lane_named

LANE = lane_named("firecracker/kvm")
MEMORY_MIB = 32
LIMIT_S = 20
# Firecracker enters in long mode with the first GiB mapped; 0x3f8 is the serial port, bit 0 of 0x3fd says that it has
# something to read: the letter to go on with.
PROGRAM = r"""
.globl _start
_start:
    movb next(%rip), %al
    movw $0x3f8, %dx
    outb %al, %dx
    movb $'\n', %al
    outb %al, %dx
    movb next(%rip), %al
    incb %al
    cmpb $'z', %al
    jbe 1f
    movb $'a', %al
1:  movb %al, next(%rip)
    movw $0x3fd, %dx
    inb %dx, %al
    testb $1, %al
    jz 3f
    movw $0x3f8, %dx
    inb %dx, %al
    movb %al, next(%rip)
3:  movl $1000, %ecx
2:  decl %ecx
    jnz 2b
    jmp _start
.data
next: .byte 'a'
"""

MakeConfig = Callable[[str], MachineConfig]
Configured = Callable[..., MachineConfig]
Started = Callable[[MicroVM], MicroVM]


def require_firecracker() -> None:
    """Nothing can be judged without Firecracker and a KVM that runs the payload."""
    if DRIVER.program.missing:
        pytest.skip("not judged: no firecracker on PATH")
    if problem := kvm.payload_problem():
        pytest.skip(f"not judged: {problem}")


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The guest, as the ELF file that Firecracker takes for a kernel."""
    directory = tmp_path_factory.mktemp("program")
    (directory / "program.S").write_text(PROGRAM)
    flags = ["-nostdlib", "-static", "-Wl,--build-id=none", "-Wl,-z,noseparate-code", "-Wl,-Ttext=0x1000000"]
    run(["gcc", *flags, "-o", directory / "program", directory / "program.S"], timeout_s=60)
    return directory / "program"


@pytest.fixture
def machine(spec: Spec, host_net: HostNet, tmp_path: Path) -> Iterator[MakeConfig]:
    """A directory with a disk, and a namespace with a tap, for each VM of a test."""
    with ExitStack() as stack:

        def make(name: str) -> MachineConfig:
            directory = tmp_path / name
            directory.mkdir()
            (directory / "rootfs.ext4").write_bytes(name.encode().ljust(1 << 20, b"."))
            namespace = host_net.create(len(list(tmp_path.iterdir())))
            stack.callback(namespace.remove)
            card = NetworkCard(namespace.name, spec.network.tap_name, spec.network.guest_mac)
            return MachineConfig(
                name=name,
                directory=directory,
                disk=directory / "rootfs.ext4",
                user=spec.vmm.first_user + namespace.vm_id,
                memory_mib=MEMORY_MIB,
                vcpus=spec.machine.vcpus,
                firecracker=spec.firecracker,
                card=card,
            )

        yield make


@pytest.fixture
def configured(machine: MakeConfig, spec: Spec) -> Configured:
    """A machine with options of the lane."""

    def make(name: str, **options: Any) -> MachineConfig:
        chosen = spec.firecracker.options.model_copy(update=options)
        return replace(machine(name), firecracker=spec.firecracker.model_copy(update={"options": chosen}))

    return make


@pytest.fixture
def started() -> Iterator[Started]:
    """Ends every VM that a test has started."""
    with ExitStack() as stack:

        def remember(vm: MicroVM) -> MicroVM:
            stack.callback(vm.kill)
            return vm

        yield remember


def letters(vm: MicroVM) -> str:
    return "".join(line for line in vm.console.text.split("\n") if line in set(ascii_lowercase))
