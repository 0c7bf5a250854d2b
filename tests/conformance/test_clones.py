"""Clones: private disks, shared memory, any directory, any generation; what would destroy one is refused."""

from __future__ import annotations

import dataclasses
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from hornet.checks.clones import disk_problems, sharing_problems
from hornet.checks.hazards import counting_problems
from hornet.errors import HornetError, SnapshotError, VMError
from hornet.ext4.verdict import judge_ext4
from hornet.family import Family
from hornet.files import clone_file
from hornet.fleet import VM, Fleet
from hornet.guest import SshKey
from hornet.home import Home
from hornet.lane import Lane
from hornet.memory import memory_split
from hornet.network import HostNet
from hornet.peer import Peer
from hornet.proc import run
from hornet.snapshot import Bundle
from hornet.snapshot.take import origin_of_child, take_snapshot
from hornet.spec import Spec
from hornet.vmm import restore_vm
from hornet.witness import DISK_FILE
from hornet_fixtures.judging import holds

pytestmark = pytest.mark.conformance

TIMEOUT_S = 60
# Uses memory that the clone has not touched yet.
WORK = "git --version"


@pytest.fixture
def other_fleet(spec: Spec, home: Home, lane: Lane, host_net: HostNet, key: SshKey) -> Iterator[Fleet]:
    """A fleet that checks no seals; it must leave nothing behind."""
    with Fleet(spec, home, lane, host_net, key, check_seals=False) as fleet:
        yield fleet
        assert not fleet.vms, "a VM that could not be restored was left behind"


def test_each_has_a_disk_of_its_own(family: Family) -> None:
    holds(disk_problems({vm.name: vm.disk for vm in family.vms}, family.bundle.rootfs))


def test_they_share_memory_pages(family: Family) -> None:
    for vm in family.vms[:-1]:
        holds(sharing_problems(vm.name, memory_split(vm.micro.pid, [family.bundle.memory])))


def test_none_has_changed_the_snapshot(family: Family) -> None:
    family.bundle.check_full()


def test_a_second_vm_on_a_disk_is_refused(family: Family, lane: Lane, tmp_path: Path) -> None:
    """Under another name, as a link would have it: two VMs that write one file system destroy it."""
    vm = family.vms[0]
    other_name = vm.directory / "other.ext4"
    other_name.hardlink_to(vm.disk)
    config = dataclasses.replace(vm.micro.config, directory=tmp_path, disk=other_name, card=None)
    with pytest.raises(VMError, match=r"other\.ext4 \(inode \d+\): another VM runs on it"):
        restore_vm(lane, config, memory=family.bundle.memory, state=family.bundle.state)


def test_another_machine_is_refused(
    family: Family, spec: Spec, home: Home, lane: Lane, host_net: HostNet, key: SshKey
) -> None:
    machine = spec.machine.model_copy(update={"memory_mib": spec.machine.memory_mib * 2})
    with (
        Fleet(spec.model_copy(update={"machine": machine}), home, lane, host_net, key) as fleet,
        pytest.raises(SnapshotError, match=f"memory_mib: {spec.machine.memory_mib} in the snapshot"),
    ):
        fleet.restore(family.bundle)


@pytest.mark.parametrize("name", ["memory", "state"])
def test_a_file_that_was_cut_off_is_refused(name: str, family: Family, other_fleet: Fleet, tmp_path: Path) -> None:
    """Also where no seal is checked; with one, hornet/snapshot refuses it first."""
    whole: Path = getattr(family.bundle, name)
    for path in family.bundle.directory.iterdir():
        if path != whole:
            (tmp_path / path.name).hardlink_to(path)
    clone_file(whole, tmp_path / whole.name)
    os.truncate(tmp_path / whole.name, whole.stat().st_size // 2)
    with pytest.raises(HornetError):
        other_fleet.restore(Bundle(tmp_path, family.bundle.names))


def test_a_clone_outlives_its_snapshot(family: Family, fleet: Fleet) -> None:
    """One was restored from a copy elsewhere, removed before it ran: what it had not read yet was still there."""
    orphan = family.vms[-1]
    assert orphan.parent
    assert not orphan.parent.directory.exists()
    with pytest.raises(SnapshotError, match="missing"):
        fleet.restore(orphan.parent)
    orphan.micro.resume()
    result = orphan.guest.run(WORK, TIMEOUT_S)
    orphan.micro.pause()
    assert result.stdout.startswith("git version"), result


def test_a_grandchild_goes_on(family: Family, fleet: Fleet, spec: Spec, tmp_path: Path) -> None:
    """A snapshot of a clone, restored: the program from the first snapshot still runs."""
    vm = fleet.restore(family.bundle, own_memory=True)
    bundle = take_snapshot(vm, Home(tmp_path), spec, version="grandchild", origin=origin_of_child(vm, spec))
    fleet.remove(vm)
    assert bundle.manifest().origin.parent == family.bundle.manifest().self_sha256
    grandchild = fleet.restore(bundle)
    with Peer(grandchild, spec) as peer:
        seen = peer.answer(peer.ask()).seen
    fleet.remove(grandchild)
    assert seen.nonce == family.nonce
    assert seen.count > family.before.seen.count


def test_the_disk_of_a_killed_vm_is_sound(family: Family, spec: Spec, home: Home, tmp_path: Path) -> None:
    """kill -9 while it writes: the journal brings the file system back, and what was synced is there."""
    vm = family.vms[-1]
    vm.micro.resume()
    with Peer(vm, spec) as peer:
        synced = peer.answer(peer.ask()).seen.synced
    os.kill(vm.micro.pid, signal.SIGKILL)
    holds([str(finding) for finding in judge_ext4(vm.disk, home.run).findings])
    text = _read_after_repair(vm, tmp_path)
    holds(counting_problems(DISK_FILE, text, r"^(\d+)$", synced))


def _read_after_repair(vm: VM, directory: Path) -> str:
    """The witness's file as the next boot would see it."""
    copy = directory / "killed.ext4"
    clone_file(vm.disk, copy)
    run(["e2fsck", "-fy", copy], timeout_s=TIMEOUT_S, ok_codes=(0, 1))
    return run(["debugfs", "-R", f"cat {DISK_FILE}", copy], timeout_s=TIMEOUT_S).output
