"""What the host does for clones without a guest: the orders on the serial line, the lock on a disk, what fits here."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest

from builders.rootfs.native import PROGRAMS, install_programs
from hornet.errors import VMError
from hornet.snapshot import compatibility
from hornet.snapshot.manifest import Origin
from hornet.spec.lane import Lane
from hornet.spec.model import load_spec
from hornet.vm.restore_agent import freeze, refresh
from hornet.vmm.console import Console
from hornet.vmm.failure import FailureSignal
from tests.support.bundle_samples import ORIGIN

SPEC = load_spec()
TIMEOUT_S = 10


@pytest.fixture
def line(tmp_path: Path) -> Iterator[tuple[Console, socket.socket]]:
    """A console, and the guest's end of it."""
    ours, guests = socket.socketpair()
    guests.settimeout(TIMEOUT_S)
    console = Console(tmp_path / "console.log", ours, FailureSignal("vm1"))
    yield console, guests
    guests.close()
    console.close()


def test_restored_guest_gets_the_time_and_a_seed(line: tuple[Console, socket.socket]) -> None:
    console, guest = line
    order = refresh(console)
    name, verb, token, time_s, seed = guest.recv(4096).decode().split()
    assert (name, verb) == ("hornetos", "refresh")
    assert float(time_s) > 0
    assert len(bytes.fromhex(seed)) == 32
    # Something else was being printed, and the line's end comes in two parts.
    guest.sendall(b"half a linehornetos: refreshed " + token.encode() + b"\r")
    guest.sendall(b"\n")
    order.wait(TIMEOUT_S)


def test_a_guest_that_thawed_by_itself_is_told_again(line: tuple[Console, socket.socket]) -> None:
    console, guest = line
    order = refresh(console)
    first = guest.recv(4096).decode().split()
    guest.sendall(b"hornetos: thawed\r\n")
    with ThreadPoolExecutor() as threads:
        waiting = threads.submit(order.wait, TIMEOUT_S)
        again = guest.recv(1) + guest.recv(4096)
        second = again.decode().split()
        guest.sendall(b"hornetos: refreshed " + second[2].encode() + b"\r\n")
        waiting.result()
    assert again.startswith(b"\n"), "a line of which the guest got a part only has an end"
    assert second[:3] == first[:3], "by the token the guest knows that it is the same command"
    assert float(second[3]) > float(first[3]), "the time is the present one"


def test_two_seeds_differ(line: tuple[Console, socket.socket]) -> None:
    console, guest = line
    for _ in range(3):
        refresh(console)
    lines = b""
    while lines.count(b"\n") < 3:
        lines += guest.recv(4096)
    assert len({text.split()[-1] for text in lines.splitlines()}) == 3


def test_answer_to_another_command_is_ignored(line: tuple[Console, socket.socket]) -> None:
    console, guest = line
    order = freeze(console)
    guest.sendall(b"hornetos: frozen 00000000\r\n")
    with pytest.raises(VMError, match="did not answer the command 'freeze'"):
        order.wait(0.2)


def test_a_line_that_is_closed_is_an_error(line: tuple[Console, socket.socket]) -> None:
    console, guest = line
    guest.close()
    with pytest.raises(VMError, match="serial line is closed"):
        freeze(console)


def test_the_guests_programs_are_the_same_each_time(tmp_path: Path) -> None:
    for name in ("one", "two"):
        install_programs(tmp_path / name)
    for program in PROGRAMS:
        first, second = (tmp_path / name / "usr/lib/hornetos" / program for name in ("one", "two"))
        assert first.read_bytes() == second.read_bytes()


def test_the_guest_waits_until_a_file_is_not_empty(tmp_path: Path) -> None:
    install_programs(tmp_path / "image")
    file = tmp_path / "pid"
    with subprocess.Popen([tmp_path / "image/usr/lib/hornetos/refresh", file]) as waiting, ExitStack() as stack:
        stack.callback(waiting.kill)
        for write in (None, ""):
            if write is not None:
                file.write_text(write)
            with pytest.raises(subprocess.TimeoutExpired):
                waiting.wait(0.2)
        file.write_text("1\n")
        assert waiting.wait(TIMEOUT_S) == 0


KVM, TCG = Lane("qemu", "kvm"), Lane("qemu", "tcg")
FIRECRACKER = Lane("firecracker", "kvm")


def origin(lane: Lane = TCG, /, **changes: object) -> Origin:
    machine = {"memory_mib": SPEC.machine.memory_mib, "vcpus": SPEC.machine.vcpus}
    return ORIGIN.model_copy(update={"lane": str(lane), **machine, **changes})


def test_a_snapshot_from_here_fits() -> None:
    made = origin(vmm_version="7.2")
    assert compatibility.lane_problems(made, TCG, "7.2", None) == []
    assert compatibility.machine_problems(made, SPEC.machine) == []
    assert compatibility.memory_problems(made, SPEC.machine.memory_mib << 20) == []


def test_another_lane_or_version_is_named() -> None:
    assert compatibility.lane_problems(origin(), KVM, "7.2", None) == ["taken in lane qemu/tcg, this is qemu/kvm"]
    problems = compatibility.lane_problems(origin(vmm_version="7.2"), TCG, "8.0", None)
    assert problems == ["taken by qemu 7.2, this is qemu 8.0"]


@pytest.mark.parametrize(
    ("taken", "here", "fits"),
    [
        ("8.0.0", "8.0.0", True),
        ("8.1.0", "8.2.0", True),
        ("8.2.0", "8.1.0", False),
        ("8.0.0", "10.0.0", False),
        (None, "8.0.0", False),
        ("8.0.0", None, False),
    ],
)
def test_another_version_fits_if_it_reads_the_format(taken: str | None, here: str | None, fits: bool) -> None:
    made = origin(FIRECRACKER, vmm_version="1.13.2", snapshot_format=taken)
    problems = compatibility.lane_problems(made, FIRECRACKER, "1.14.0", here)
    assert bool(problems) is not fits
    if taken and here and not fits:
        assert f"it reads snapshots of format {here}, this one has {taken}" in problems[0]


def test_memory_that_can_be_plugged_in_is_in_the_memory_file() -> None:
    made = origin(memory_hotplug_mib=128)
    assert compatibility.memory_problems(made, (SPEC.machine.memory_mib + 128) << 20) == []
    assert compatibility.memory_problems(made, SPEC.machine.memory_mib << 20)


@pytest.mark.parametrize("key", ["memory_mib", "vcpus"])
def test_another_machine_is_named(key: str) -> None:
    (problem,) = compatibility.machine_problems(origin(**{key: 7}), SPEC.machine)
    assert problem.startswith(f"{key}: 7 in the snapshot, ")


def test_another_cpu_matters_under_kvm_only() -> None:
    made = origin(KVM, cpu_model="Old CPU", cpu_features_sha256="a")
    assert compatibility.cpu_problems(made, KVM, "New CPU", "a") == []
    (problem,) = compatibility.cpu_problems(made, KVM, "New CPU", "b")
    assert "Old CPU, this is New CPU" in problem
    assert compatibility.cpu_problems(origin(cpu_features_sha256="a"), TCG, "New CPU", "b") == []


@pytest.mark.parametrize("found_bytes", [4096, (origin().memory_mib << 20) + 1])
def test_memory_of_another_size_is_named(found_bytes: int) -> None:
    (problem,) = compatibility.memory_problems(origin(), found_bytes)
    assert f"the memory file has {found_bytes} bytes" in problem
    assert compatibility.memory_problems(origin(), origin().memory_mib << 20) == []
