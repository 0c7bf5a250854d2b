"""A running QEMU has no rights on the host, and what its guest does never reaches the snapshot that others share."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from hornet.checks.balloon import balloon_problems
from hornet.host.artifact_store import file_sha256
from hornet.host.workspace import Workspace
from hornet.scenarios.balloon import take_and_give
from hornet.snapshot import Bundle
from hornet.spec.model import Spec
from hornet.vm import kvm
from hornet.vm.fleet import VM, Fleet
from hornet.vm.lanes import PROBE_BOOT_ARGS
from hornet.vm.snapshotting import origin_of_child, take_snapshot
from hornet.vmm.driver import MachineConfig
from hornet.vmm.qemu import command_line
from hornet.vmm.qemu.driver import DRIVER
from hornet.vmm.qemu.machine import QemuVM
from hornet.vmm.registry import lane_named

pytestmark = pytest.mark.guest

TIMEOUT_S = 60
TAKEN_MIB = 96
CAPABILITY_SETS = ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")
WRITING = os.O_WRONLY | os.O_RDWR


@pytest.fixture(scope="module", autouse=True)
def _is_qemu(fleet: Fleet) -> None:
    if fleet.lane.vmm != "qemu":
        pytest.skip(f"not judged: these are QEMU's rights, this run uses {fleet.lane}")


@pytest.fixture
def no_umask() -> Iterator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


def status(vm: VM) -> dict[str, str]:
    lines = Path(f"/proc/{vm.vmm.pid}/status").read_text().splitlines()
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


def open_files(vm: VM) -> list[tuple[str, int]]:
    """What the VMM has open: path and flags of each descriptor."""
    found = []
    for link in Path(f"/proc/{vm.vmm.pid}/fd").iterdir():
        info = Path(f"/proc/{vm.vmm.pid}/fdinfo/{link.name}").read_text()
        flags = re.search(r"^flags:\s*([0-7]+)$", info, re.MULTILINE)
        assert flags
        found.append((str(link.readlink()), int(flags[1], 8)))
    return found


def test_qemu_runs_without_rights(restored_vm: VM, spec: Spec) -> None:
    found = status(restored_vm)
    user = str(spec.vmm.first_user + restored_vm.vm_id)
    assert found["Uid"].split() == found["Gid"].split() == [user] * 4
    assert found["Groups"] == ""
    assert {name: int(found[name], 16) for name in CAPABILITY_SETS} == dict.fromkeys(CAPABILITY_SETS, 0)
    assert (found["NoNewPrivs"], found["Seccomp"]) == ("1", "2")


def test_qemu_can_write_its_own_disk_and_log_only(restored_vm: VM, bundle: Bundle) -> None:
    files = [(path, flags) for path, flags in open_files(restored_vm) if path.startswith("/") and "/dev/" not in path]
    assert {path for path, flags in files if flags & WRITING} == {
        str(restored_vm.disk),
        str(restored_vm.directory / "vmm.log"),
    }
    assert str(bundle.memory) in {path for path, flags in files if not flags & WRITING}


def test_qemu_uses_kvm_without_the_right_to_open_it(
    kernel: Path, spec: Spec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """QEMU has no group, and its jail has no /dev/kvm. This works even where KVM cannot run Linux."""
    if problem := kvm.payload_problem():
        pytest.skip(f"not judged: {problem}")
    # A KVM that is itself emulated refuses some of the host's own features.
    monkeypatch.setattr(command_line, "_cpu", lambda lane: "qemu64")
    disk = tmp_path / "disk"
    disk.write_bytes(bytes(1 << 20))
    config = MachineConfig("kvm", tmp_path, disk, spec.vmm.first_user, spec.machine.memory_mib, 1, spec.firecracker)
    vm = DRIVER.boot(lane_named("qemu/kvm"), config, kernel=kernel, boot_args=PROBE_BOOT_ARGS)
    try:
        assert isinstance(vm, QemuVM)
        assert vm._qmp.execute("query-kvm") == {"enabled": True, "present": True}
        assert f"Uid:\t{spec.vmm.first_user}" in Path(f"/proc/{vm.pid}/status").read_text()
    finally:
        vm.kill()


def test_a_balloon_in_a_clone_leaves_the_snapshot_as_it_is(bundle: Bundle, fleet: Fleet, tmp_path: Path) -> None:
    """QEMU punches holes into the file that memory is mapped from. A guest may inflate its balloon unasked."""
    copy = bundle.copied_to(tmp_path)
    before = file_sha256(copy.memory)
    vm = fleet.restore(copy)
    # Frees pages that the snapshot's memory holds; what it holds no page for is a hole already.
    vm.guest.check_output("echo 3 >/proc/sys/vm/drop_caches", TIMEOUT_S)
    assert balloon_problems(take_and_give(vm, TAKEN_MIB)) == []
    # QEMU 10 warns of discards in a private mapping of a file that it could write; this one it can't.
    said = (vm.directory / "vmm.log").read_text().splitlines()
    assert [line for line in said if "warning: " not in line] == []
    fleet.remove(vm)
    assert file_sha256(copy.memory) == before


def test_files_of_vms_and_snapshots_are_private(
    no_umask: None, bundle: Bundle, fleet: Fleet, spec: Spec, tmp_path: Path
) -> None:
    vm = fleet.restore(bundle, snapshottable=True)
    made = take_snapshot(vm, Workspace(tmp_path), spec, version="v1.1", origin=origin_of_child(vm, spec))
    for directory in (vm.directory, made.directory):
        assert directory.stat().st_mode & 0o777 == 0o700
        assert {path.name: path.stat().st_mode & 0o777 for path in directory.iterdir()} == dict.fromkeys(
            os.listdir(directory), 0o600
        )
    fleet.remove(vm)
