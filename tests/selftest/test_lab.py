"""The lab's parts, without starting it: tests/guest/test_lab.py runs it."""

from __future__ import annotations

import io
import os
import socket
import subprocess
import sys
import tarfile
from contextlib import suppress
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest

from builders.distros import DEFAULT_DISTRO
from hornet.errors import BuildError, HostError
from hornet.host import emulation
from hornet.host.progress import Progress
from hornet.host.workspace import Workspace
from hornet.spec.model import Spec, load_spec
from hornet_cli.context import Settings
from hornet_fixtures import in_lab
from hornet_fixtures.options import check_options, lengthen_time_limit
from lab.components import load_order
from lab.host_view import shown_mounts
from lab.job import Job
from lab.machine import PORTS, qemu_arguments
from lab.nudge import Nudge
from lab.pump import Pump
from lab.results import take_over
from lab.session import QEMU_MIB, LabCrashedError, _await_exit, _await_ready, check_memory, this_command_there

MODULES_DEP = """kernel/virt/lib/irqbypass.ko:
kernel/arch/x86/kvm/kvm.ko: kernel/virt/lib/irqbypass.ko
kernel/arch/x86/kvm/kvm-amd.ko: kernel/arch/x86/kvm/kvm.ko kernel/virt/lib/irqbypass.ko
kernel/drivers/net/tun.ko:
"""
MOUNTINFO = r"""22 1 8:1 / / rw - ext4 /dev/sda1 rw
23 22 0:5 / /proc rw - proc proc rw
24 22 0:6 / /run rw - tmpfs tmpfs rw
25 24 0:7 / /run/user/0 rw - tmpfs tmpfs rw
26 22 8:2 / /home/a\040b/c rw - ext4 /dev/sda2 rw
27 22 8:2 / /home rw - ext4 /dev/sda2 rw
28 22 8:3 / /runner rw - ext4 /dev/sda3 rw
29 27 8:4 / /home rw - ext4 /dev/sda4 rw
"""


@pytest.fixture
def spec() -> Spec:
    return load_spec()


def test_modules_come_after_what_they_need() -> None:
    order = load_order(MODULES_DEP, ["kvm_amd", "tun"])
    assert [Path(path).name for path in order] == ["irqbypass.ko", "kvm.ko", "kvm-amd.ko", "tun.ko"]


def test_unknown_module_is_an_error() -> None:
    with pytest.raises(BuildError, match="no module 'vhost_net'"):
        load_order(MODULES_DEP, ["vhost_net"])


def test_mounts_of_processes_and_devices_are_hidden() -> None:
    assert shown_mounts(MOUNTINFO) == ["/", "/home", "/runner", "/home/a b/c"]


def test_settings_are_what_a_shell_reads(tmp_path: Path) -> None:
    value = "a 'b' \"c\" $d `e` \\ \n f"
    job = Job(
        command=["printf", "%s|", value, "", "-x"],
        directory=tmp_path / "it's here",
        environment={"VALUE": value, "BASH_FUNC_x%%": "() { :; }", "TMPDIR": "/gone"},
        home=tmp_path,
        time_limit_s=60,
    )
    (tmp_path / "settings").write_text(job.settings(Path("/m odules")))
    script = (
        f'unset TMPDIR; . {tmp_path}/settings; env | grep TMPDIR; printf %s "$VALUE$LAB_DIRECTORY$LAB_MODULES"; "$@"'
    )
    done = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == f"{value}{tmp_path}/it's here/m odules{value}||-x|"


@pytest.mark.parametrize("available_mib", [0, 4096 + QEMU_MIB - 1])
def test_too_little_memory_is_an_error(available_mib: int) -> None:
    with pytest.raises(HostError, match=rf"needs {4096 + QEMU_MIB} MiB of memory, {available_mib} MiB"):
        check_memory(4096, available_mib)
    check_memory(4096, 4096 + QEMU_MIB)


class FakeMachine:
    """Its control port has one message."""

    def __init__(self, message: str | None, words: str = "console:\nKernel panic - not syncing: x") -> None:
        self.message, self.words = message, words

    def next_message(self, timeout_s: float) -> str | None:
        return self.message

    def last_words(self) -> str:
        return self.words


@pytest.mark.parametrize(
    ("message", "problem"),
    [
        (None, "was not ready within 5 s\nconsole:\nKernel panic"),
        ("", "the lab ended before it was ready"),
        ("failed it has no /dev/kvm: QEMU did not emulate SVM", "cannot start: it has no /dev/kvm"),
        ("exit 0", "the lab ended before it was ready"),
    ],
)
def test_lab_that_does_not_get_ready_is_an_error(message: str | None, problem: str) -> None:
    machine: Any = FakeMachine(message)
    with pytest.raises(HostError, match=problem) as caught:
        _await_ready(machine, 5)
    assert caught.value.timed_out is (message is None)


@pytest.mark.parametrize(
    ("message", "problem"),
    [(None, "it hangs"), ("", "crashed: Kernel panic - not syncing: x"), ("exit -1", "crashed: Kernel panic")],
)
def test_command_without_an_exit_code_is_an_error(message: str | None, problem: str) -> None:
    machine: Any = FakeMachine(message)
    with pytest.raises(HostError, match=problem) as caught:
        _await_exit(machine, 5)
    assert isinstance(caught.value, LabCrashedError) is (message is not None)


def test_exit_code_is_the_commands() -> None:
    machine: Any = FakeMachine("exit 3")
    assert _await_exit(machine, 5) == 3


def test_every_port_has_its_socket(spec: Spec) -> None:
    words = qemu_arguments(spec.lab, "/boot/vmlinuz", {name: number for number, name in enumerate(PORTS, 10)})
    assert [f"socket,id={name},fd={number}" in words for number, name in enumerate(PORTS, 10)] == [True] * len(PORTS)
    assert [f"virtserialport,chardev={name},name={name}" in words for name in PORTS] == [True] * len(PORTS)


def test_nudge_sends_until_it_is_ended_also_to_a_port_that_nobody_reads() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setblocking(False)
        with suppress(BlockingIOError):
            while True:
                ours.send(bytes(1 << 16))
        nudge = Nudge(ours)
        theirs.settimeout(20)
        while 10 not in theirs.recv(1 << 20):
            pass
        nudge.end()


def pumped(data: bytes, sink_fd: int, **limits: int) -> Pump:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        pump = Pump(ours, sink_fd, **limits)
        theirs.sendall(data)
        theirs.close()
        pump.join()
    return pump


def test_output_is_copied_unchanged(tmp_path: Path) -> None:
    data = os.urandom(300_000)
    with (tmp_path / "out").open("wb") as sink:
        assert pumped(data, sink.fileno()).problem == ""
    assert (tmp_path / "out").read_bytes() == data


def test_more_than_the_limit_is_dropped_and_reported(tmp_path: Path) -> None:
    with (tmp_path / "out").open("wb") as sink:
        assert pumped(b"x" * 100_000, sink.fileno(), limit_bytes=1000).problem == "more than is kept"
    assert (tmp_path / "out").stat().st_size == 1000


def test_full_disk_is_reported() -> None:
    with Path("/dev/full").open("wb", buffering=0) as sink:
        assert pumped(b"x" * 100_000, sink.fileno()).problem == "No space left on device"


def member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "", size: int = 0) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.size = kind, link, size
    return info


def archive(path: Path, *more: tarfile.TarInfo) -> Path:
    """A run, as the lab sends it, and more."""
    good = [
        member("./20260101-000000", tarfile.DIRTYPE),
        member("./20260101-000000/run.json", size=2),
        member("./latest", tarfile.SYMTYPE, link="20260101-000000"),
    ]
    with tarfile.open(path, "w") as tar:
        for info in (*good, *more):
            tar.addfile(info, io.BytesIO(b"{}".ljust(info.size, b"x")))
    return path


@pytest.fixture
def home(tmp_path: Path) -> Workspace:
    (tmp_path / "work").mkdir()
    return Workspace(tmp_path / "home")


def test_new_runs_are_taken_over(tmp_path: Path, home: Workspace) -> None:
    taken = take_over(archive(tmp_path / "results.tar"), tmp_path / "work", home)
    assert taken == [home.reports / "20260101-000000"]
    assert (home.reports / "latest" / "run.json").read_text() == "{}"


def test_run_that_is_there_already_stays(tmp_path: Path, home: Workspace) -> None:
    (home.reports / "20260101-000000").mkdir()
    (home.reports / "20260101-000000" / "run.json").write_text("mine")
    assert take_over(archive(tmp_path / "results.tar"), tmp_path / "work", home) == []
    assert (home.reports / "20260101-000000" / "run.json").read_text() == "mine"
    assert not (home.reports / "latest").exists()


OUTSIDE = [member("/etc/hornetos-was-here", size=2), member("../../was-here", size=2), member("run/../../x", size=2)]


@pytest.mark.parametrize("info", OUTSIDE, ids=lambda info: info.name)
def test_results_that_lead_elsewhere_are_rejected(info: tarfile.TarInfo, tmp_path: Path, home: Workspace) -> None:
    with pytest.raises(HostError, match="can't be unpacked"):
        take_over(archive(tmp_path / "results.tar", info), tmp_path / "work", home)
    assert not list(home.reports.iterdir())
    assert not Path("/etc/hornetos-was-here").exists()


LINKS = [
    member("run/link", tarfile.SYMTYPE, link="../../../etc"),
    member("run/link", tarfile.LNKTYPE, link="/etc/passwd"),
    member("run/device", tarfile.CHRTYPE),
    member("run/pipe", tarfile.FIFOTYPE),
]


@pytest.mark.parametrize("info", LINKS, ids=["symbolic", "hard", "device", "pipe"])
def test_links_and_devices_are_left_out(info: tarfile.TarInfo, tmp_path: Path, home: Workspace) -> None:
    take_over(archive(tmp_path / "results.tar", info, member("run/link/passwd", size=2)), tmp_path / "work", home)
    assert all(path.is_dir() or path.read_text() == "{}" for path in home.reports.rglob("*"))
    assert not [path for path in (home.reports / "run").rglob("*") if path.is_symlink()]


def test_results_that_are_cut_off_are_rejected(tmp_path: Path, home: Workspace) -> None:
    path = archive(tmp_path / "results.tar", member("./20260101-000000/data", size=50_000))
    path.write_bytes(path.read_bytes()[:20_000])
    with pytest.raises(HostError, match="can't be unpacked"):
        take_over(path, tmp_path / "work", home)
    assert not list(home.reports.iterdir())


def test_no_results_are_no_runs(tmp_path: Path, home: Workspace) -> None:
    (tmp_path / "results.tar").touch()
    assert take_over(tmp_path / "results.tar", tmp_path / "work", home) == []


def test_only_qemus_signature_is_an_emulated_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    for signature, emulated in {b"TCGTCGTCGTCG": True, b"KVMKVMKVM\0\0\0": False, b"": False}.items():
        monkeypatch.setattr(emulation, "hypervisor_signature", lambda found=signature: found)
        assert emulation.cpu_is_emulated.__wrapped__() is emulated


def test_signature_has_twelve_bytes() -> None:
    assert len(emulation.hypervisor_signature()) == 12


@pytest.mark.parametrize(("emulated", "expected_s"), [(False, 20.0), (True, 60.0)])
def test_guests_of_an_emulated_processor_have_as_much_more_time_as_the_spec_says(
    emulated: bool, expected_s: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    overlay = tmp_path / "patient.toml"
    overlay.write_text("[lab]\npatience = 3\n")
    monkeypatch.setattr(emulation, "_patience", 1.0)
    monkeypatch.setattr(emulation, "cpu_is_emulated", lambda: emulated)
    assert Settings(Workspace(tmp_path), overlays=(overlay,)).spec.lab.patience == 3
    assert emulation.patient_s(20.0) == expected_s


def test_pytest_has_the_patience_of_its_spec(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    overlay = tmp_path / "patient.toml"
    overlay.write_text("[lab]\npatience = 3\n")
    monkeypatch.setattr(emulation, "_patience", 1.0)
    monkeypatch.setattr(emulation, "cpu_is_emulated", lambda: True)
    given = {"spec": None, "overlay": [str(overlay)], "distro": DEFAULT_DISTRO}
    config: Any = Mock(getoption=given.get)
    check_options(config)
    assert emulation.patient_s(20.0) == 60.0


@pytest.mark.parametrize(("given_s", "expected_s"), [(None, 1800.0), (5.0, 5.0)])
def test_a_test_has_the_patience_of_its_guests(
    given_s: float | None, expected_s: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(emulation, "_patience", 3.0)
    monkeypatch.setattr(emulation, "cpu_is_emulated", lambda: True)
    config: Any = Mock(getoption=lambda name: given_s, getini=lambda name: "600", option=Mock(timeout=given_s))
    lengthen_time_limit(config)
    assert config.option.timeout == expected_s


@pytest.mark.parametrize("name", ["keep_vms", "pause_on_failure"])
def test_vms_of_the_lab_cannot_be_kept(name: str) -> None:
    config: Any = Mock(getoption=lambda option: option in ("lab", name))
    with pytest.raises(pytest.UsageError, match=f"--{name.replace('_', '-')} and --lab exclude each other"):
        in_lab.pytest_cmdline_main(config)


def test_without_the_option_pytest_runs_here() -> None:
    config: Any = Mock(getoption=lambda option: False)
    assert in_lab.pytest_cmdline_main(config) is None


def test_lab_that_does_not_start_is_an_error_of_use(monkeypatch: pytest.MonkeyPatch) -> None:
    config: Any = Mock(getoption=lambda option: {"lab": True, "spec": None, "overlay": []}.get(option))
    monkeypatch.setattr(in_lab, "require_root", Mock())
    monkeypatch.setattr(in_lab, "run_in_lab", Mock(side_effect=HostError("the lab needs more")))
    monkeypatch.setattr(in_lab, "_build", Mock())
    with pytest.raises(pytest.UsageError, match="the lab needs more"):
        in_lab.pytest_cmdline_main(config)


def test_command_line_there_is_this_one_without_the_option(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "orig_argv", ["python", "-m", "pytest", "--lab", "-k", "a b"])
    assert this_command_there("--lab") == [sys.executable, "-m", "pytest", "-k", "a b"]


@pytest.mark.parametrize(
    ("given", "built"),
    [({}, {"build_kernel", "build_image"}), ({"kernel": "K"}, {"build_image"}), ({"snapshot": "S"}, set())],
)
def test_what_is_missing_is_built_before_the_lab(
    given: dict[str, str], built: set[str], spec: Spec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    builders = {"build_kernel": Mock(), "build_image": Mock()}
    monkeypatch.setattr("builders.kernel.build_kernel", builders["build_kernel"])
    monkeypatch.setattr("builders.images.build_image", builders["build_image"])
    config: Any = Mock(getoption=lambda option: given.get(option))
    in_lab._build(config, spec, Workspace(tmp_path), Progress())
    assert {name for name, builder in builders.items() if builder.called} == built
