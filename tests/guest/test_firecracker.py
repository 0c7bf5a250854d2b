"""The Firecracker driver on the real thing, with a guest of a few instructions instead of Linux.

Many hosts with a /dev/kvm can't run Linux in it; nearly all run this: it prints the letters of the alphabet, one a
line, and keeps in memory which is next. So what goes on after a restore is seen on the console.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from string import ascii_lowercase

import pytest

from hornet.errors import VMError
from hornet.host.proc import run
from hornet.network import HostNet
from hornet.spec.model import Spec
from hornet.vm import kvm
from hornet.vmm.driver import MachineConfig, MicroVM, NetworkCard
from hornet.vmm.firecracker import DRIVER
from hornet.vmm.registry import lane_named
from tests.support.api_description import ApiDescription

pytestmark = pytest.mark.guest

LANE = lane_named("firecracker/kvm")
MEMORY_MIB = 32
LIMIT_S = 20
NOBODY = 65534
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
Started = Callable[[MicroVM], MicroVM]


@pytest.fixture(scope="module", autouse=True)
def _firecracker_works() -> None:
    """Nothing here can be judged without Firecracker and a KVM that runs the payload."""
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
                card=card,
            )

        yield make


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


def test_requests_and_answers_are_logged(program: Path, machine: MakeConfig, started: Started) -> None:
    config = machine("logged")
    vm = started(DRIVER.boot(LANE, config, kernel=program, boot_args=""))
    with pytest.raises(VMError, match="HTTP 400"):
        vm.snapshot(config.directory / "mem", config.directory / "state")  # it is not paused
    lines = [json.loads(line) for line in (config.directory / "api.jsonl").read_text().splitlines()]
    assert ("PUT", "/actions", 204) in [(x["request"]["method"], x["request"]["path"], x["answer"]) for x in lines[:-1]]
    assert lines[-1]["request"]["path"] == "/snapshot/create"
    assert "HTTP 400" in lines[-1]["error"]


def test_requests_follow_the_api_description(
    program: Path, machine: MakeConfig, started: Started, tmp_path: Path, pytestconfig: pytest.Config
) -> None:
    """Everything that the driver sends in the life of a VM and of its clone."""
    if not (given := pytestconfig.getoption("api_description")):
        pytest.skip("not judged: no --api-description=FILE, Firecracker's src/firecracker/swagger/firecracker.yaml")
    description = ApiDescription.read(Path(given))
    configs = [machine("parent"), machine("clone")]
    parent = started(DRIVER.boot(LANE, configs[0], kernel=program, boot_args=""))
    parent.console.wait_for("^b$", LIMIT_S)
    with pytest.raises(VMError, match="not activated"):  # the guest has no driver; the request is judged all the same
        parent.set_balloon(1)
    parent.pause()
    memory, state = tmp_path / "vm.mem", tmp_path / "vm.snapshot"
    parent.snapshot(memory, state)
    clone = started(DRIVER.restore(LANE, configs[1], memory=memory, state=state))
    clone.resume()
    clone.reported_load_ms()
    logs = [(config.directory / "api.jsonl").read_text() for config in configs]
    requests = [json.loads(line)["request"] for log in logs for line in log.splitlines()]
    assert [problem for request in requests for problem in description.problems(request)] == []
    used, described = description.coverage(requests)
    print(f"API {description.version}: {used} of {described} changing operations are used")
    assert used > 0


def test_two_clones_of_a_booted_guest_continue(
    program: Path, machine: MakeConfig, started: Started, tmp_path: Path
) -> None:
    parent = started(DRIVER.boot(LANE, machine("parent"), kernel=program, boot_args=""))
    parent.console.wait_for("^c$", LIMIT_S)
    parent.pause()
    memory, state = tmp_path / "vm.mem", tmp_path / "vm.snapshot"
    parent.snapshot(memory, state)
    last = letters(parent)[-1]
    parent.kill()
    assert memory.stat().st_size == MEMORY_MIB << 20
    before = memory.read_bytes()
    following = ascii_lowercase[(ascii_lowercase.index(last) + 1) % len(ascii_lowercase)]
    for name in ("first", "second"):
        clone = started(DRIVER.restore(LANE, machine(name), memory=memory, state=state))
        assert clone.phases_ms.keys() == {"vmm_start_ms", "load_ms"}
        assert 0 < (clone.reported_load_ms() or 0) <= clone.phases_ms["load_ms"]
        clone.resume()
        clone.console.wait_for(f"^{following}$", LIMIT_S)
        # A letter may have been on its way out when the parent was paused.
        assert letters(clone)[:2] in (2 * ascii_lowercase)
        assert clone.memory_files() == [memory]
        opened = {path.resolve() for path in Path(f"/proc/{clone.pid}/fd").iterdir()}
        assert clone.config.disk in opened, "the clone has its own disk open, not the one whose path is in the snapshot"
    assert memory.read_bytes() == before, "clones never write into the snapshot's memory"


def test_a_restored_guest_reads_its_console(
    program: Path, machine: MakeConfig, started: Started, tmp_path: Path
) -> None:
    """The restore agent of a HornetOS guest receives its commands over the console."""
    parent = started(DRIVER.boot(LANE, machine("parent"), kernel=program, boot_args=""))
    parent.console.wait_for("^b$", LIMIT_S)
    parent.pause()
    memory, state = tmp_path / "vm.mem", tmp_path / "vm.snapshot"
    parent.snapshot(memory, state)
    clone = started(DRIVER.restore(LANE, machine("clone"), memory=memory, state=state))
    clone.resume()
    clone.console.send("A")
    clone.console.wait_for("^A$", LIMIT_S)


def test_a_clone_can_be_snapshotted_again(program: Path, machine: MakeConfig, started: Started, tmp_path: Path) -> None:
    vm = started(DRIVER.boot(LANE, machine("generation0"), kernel=program, boot_args=""))
    vm.console.wait_for("^b$", LIMIT_S)
    for generation in (1, 2):
        vm.pause()
        memory, state = tmp_path / f"{generation}.mem", tmp_path / f"{generation}.snapshot"
        vm.snapshot(memory, state)
        vm.kill()
        vm = started(DRIVER.restore(LANE, machine(f"generation{generation}"), memory=memory, state=state))
        vm.resume()
        vm.console.wait_for("^[a-z]$", LIMIT_S)


def test_firecracker_needs_no_capability(program: Path, machine: MakeConfig, started: Started, tmp_path: Path) -> None:
    """Without capabilities, root cannot enter a directory of mode 0700 of another user, such as a home."""
    os.chown(tmp_path, NOBODY, NOBODY)
    tmp_path.chmod(0o700)
    parent = started(DRIVER.boot(LANE, machine("parent"), kernel=program, boot_args=""))
    status = Path(f"/proc/{parent.pid}/status").read_text()
    assert set(re.findall(r"^Cap\w+:\s*(\w+)$", status, re.MULTILINE)) == {"0" * 16}
    assert "NoNewPrivs:\t1" in status
    parent.console.wait_for("^b$", LIMIT_S)
    parent.pause()
    memory, state = tmp_path / "vm.mem", tmp_path / "vm.snapshot"
    parent.snapshot(memory, state)
    assert [path.stat().st_mode & 0o777 for path in (memory, state)] == [0o600, 0o600]
    clone = started(DRIVER.restore(LANE, machine("clone"), memory=memory, state=state))
    clone.resume()
    clone.console.wait_for("^[a-z]$", LIMIT_S)


def test_error_quotes_firecrackers_own_message(
    program: Path, machine: MakeConfig, started: Started, tmp_path: Path
) -> None:
    truncated = tmp_path / "vm.snapshot"
    truncated.write_bytes(b"no snapshot")
    with pytest.raises(VMError) as caught:
        DRIVER.restore(LANE, machine("clone"), memory=program, state=truncated)
    assert "PUT /snapshot/load: HTTP 400" in caught.value.message


def test_invalid_kernel_is_rejected(machine: MakeConfig, tmp_path: Path) -> None:
    kernel = tmp_path / "vmlinux"
    kernel.write_bytes(b"no kernel")
    with pytest.raises(VMError) as caught:
        DRIVER.boot(LANE, machine("hopeless"), kernel=kernel, boot_args="")
    assert "HTTP 400" in caught.value.message
