"""Bad input to a boot: each ends within its limit, with an error that names the thing, and leaves nothing behind."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hornet.errors import HornetError, VMError
from hornet.host.file_copy import clone_file
from hornet.host.proc import run
from hornet.host.workspace import Workspace
from hornet.network import HostNet, netns
from hornet.network.ids import vms_directory
from hornet.snapshot import Bundle
from hornet.spec.lane import Lane
from hornet.spec.model import Spec
from hornet.vm.fleet import Fleet
from hornet_fixtures.under_test import Image
from tests.support.vmm_processes import vmm_processes

pytestmark = pytest.mark.guest

LIMIT_S = 20


@pytest.fixture(scope="module")
def own_net(spec: Spec) -> Iterator[HostNet]:
    """A host of its own, so that whatever is left on it was left by these tests."""
    with HostNet.private(spec.network, f"hornet-{os.getpid()}-bad-") as net:
        yield net


@pytest.fixture
def short_timeout_fleet(new_fleet: Callable[..., Fleet], own_net: HostNet, tmp_path: Path) -> Iterator[Fleet]:
    """A fleet with a short boot timeout and a home of its own."""
    workspace = Workspace(tmp_path / "home")
    with new_fleet(workspace=workspace, host_net=own_net, boot_timeout_s=LIMIT_S) as fleet:
        others = vmms()
        yield fleet
        assert not list(vms_directory(workspace).glob("*")), "a VM's directory was left behind"
        assert vmms() == others, "a VMM was left behind"
        left = [name for name in os.listdir(netns.RUN_NETNS) if name.startswith(own_net.prefix)]
        assert left == [own_net.namespace], "a namespace was left behind"


def vmms() -> set[int]:
    """The VMMs of this process."""
    return {vmm.pid for vmm in vmm_processes(os.getpid())}


@pytest.fixture
def broken_image(image: Image, tmp_path: Path) -> Path:
    """A copy of the image for a test to break."""
    copy = tmp_path / "rootfs.ext4"
    clone_file(image.path, copy)
    return copy


def kept(error: VMError) -> dict[str, str]:
    """What the error says is kept of the VM, by file name; no path that it names may be missing."""
    (directory,) = re.findall(r"console and logs of VM vm[0-9]+: (/\S+)$", error.hint)
    assert error.evidence == Path(directory)
    # Of the host: the console names files of the guest.
    paths = re.findall(r"/\S+/(?:run|evidence|logs)/[^\s:;,)']+", str(error))
    assert not [path for path in paths if not Path(path).exists()]
    return {path.name: path.read_text(errors="replace") for path in Path(directory).iterdir()}


def test_invalid_kernel_is_rejected(short_timeout_fleet: Fleet, image: Image, tmp_path: Path) -> None:
    kernel = tmp_path / "vmlinux"
    kernel.write_bytes(b"\x7fELF" + bytes(4096))
    with pytest.raises(VMError) as caught:
        short_timeout_fleet.boot(kernel, image.path)
    assert "VMM log:" in caught.value.message


def test_truncated_kernel_is_rejected(short_timeout_fleet: Fleet, kernel: Path, image: Image, tmp_path: Path) -> None:
    cut = tmp_path / "vmlinux"
    cut.write_bytes(kernel.read_bytes()[:1_000_000])
    with pytest.raises(VMError, match="VMM log:"):
        short_timeout_fleet.boot(cut, image.path)


def test_invalid_root_file_system_is_rejected(short_timeout_fleet: Fleet, kernel: Path, tmp_path: Path) -> None:
    foreign = tmp_path / "rootfs.ext4"
    foreign.write_bytes(b"no file system" * 100_000)
    with pytest.raises(VMError) as caught:
        short_timeout_fleet.boot(kernel, foreign)
    assert "VFS: " in caught.value.message or "Kernel panic" in caught.value.message


def test_missing_sshd_is_reported_by_the_timeout(short_timeout_fleet: Fleet, kernel: Path, broken_image: Path) -> None:
    run(["debugfs", "-w", "-R", "rm /usr/sbin/sshd", broken_image], timeout_s=20)
    with pytest.raises(VMError) as caught:
        short_timeout_fleet.boot(kernel, broken_image)
    assert f"timed out after {LIMIT_S} s waiting for '^hornetos: ready '" in caught.value.message
    assert "/usr/sbin/sshd" in caught.value.message, "the console's last lines say what init could not start"
    assert "/usr/sbin/sshd" in kept(caught.value)["console.log"]
    assert "no kernel log: " in kept(caught.value)["dmesg.txt"]


def test_missing_init_is_reported_as_a_panic(short_timeout_fleet: Fleet, kernel: Path, broken_image: Path) -> None:
    for name in ("/usr/sbin/init", "/usr/bin/sh", "/usr/bin/bash", "/usr/bin/busybox"):
        run(["debugfs", "-w", "-R", f"rm {name}", broken_image], timeout_s=20)
    with pytest.raises(VMError) as caught:
        short_timeout_fleet.boot(kernel, broken_image)
    assert "Kernel panic" in caught.value.message
    assert {"vmm.log", "vm.json", "api.jsonl", "phases.json"} <= set(kept(caught.value))
    assert "Kernel panic" in kept(caught.value)["console.log"]


def test_snapshot_of_another_machine_is_rejected(
    short_timeout_fleet: Fleet, bundle: Bundle, lane: Lane, tmp_path: Path
) -> None:
    if lane.vmm != "qemu":
        pytest.skip(f"not judged: it changes device state in QEMU's format, and this lane is {lane}")
    other = Bundle(tmp_path / "other", bundle.names)
    other.directory.mkdir()
    for path in (bundle.memory, bundle.rootfs):
        clone_file(path, other.directory / path.name)
    # Its first interrupt controller becomes a device that no machine has.
    other.state.write_bytes(bundle.state.read_bytes().replace(b"\x05i8259", b"\x05other", 1))
    other.seal("other", bundle.manifest().origin)
    with pytest.raises(VMError) as caught:
        short_timeout_fleet.restore(other)
    assert "Unknown savevm section or instance 'other'" in caught.value.message
    assert caught.value.hint.startswith("it was taken of a machine with other devices")


def test_full_host_disk_is_reported(short_timeout_fleet: Fleet, kernel: Path, image: Image, tmp_path: Path) -> None:
    small = tmp_path / "small"
    small.mkdir()
    run(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", small], timeout_s=20)
    before = short_timeout_fleet.workspace
    try:
        short_timeout_fleet.workspace = Workspace(small)
        with pytest.raises(HornetError) as caught:
            short_timeout_fleet.boot(kernel, image.path)
        assert "No space left on device" in caught.value.message
        assert "free space" in caught.value.hint
        assert not list(vms_directory(short_timeout_fleet.workspace).iterdir())
    finally:
        short_timeout_fleet.workspace = before
        run(["umount", small], timeout_s=20)
