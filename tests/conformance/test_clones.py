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
from hornet.formats.ext4.recover import recovered_text
from hornet.formats.ext4.verdict import judge_ext4
from hornet.host.file_copy import clone_file
from hornet.host.workspace import Home
from hornet.network import HostNet
from hornet.scenarios.agent_client import Peer
from hornet.scenarios.lineage import Family
from hornet.snapshot import Bundle
from hornet.spec.lane import Lane
from hornet.spec.model import Spec
from hornet.vm.agent import DISK_FILE
from hornet.vm.fleet import Fleet
from hornet.vm.guest import SshKey
from hornet.vm.memory import memory_split
from hornet.vmm import restore_vm
from hornet_fixtures.assertions import holds

pytestmark = pytest.mark.conformance

TIMEOUT_S = 60


@pytest.fixture
def other_fleet(spec: Spec, home: Home, lane: Lane, host_net: HostNet, key: SshKey) -> Iterator[Fleet]:
    """A fleet that checks no seals; it must leave nothing behind."""
    with Fleet(spec, home, lane, host_net, key, check_seals=False) as fleet:
        yield fleet
        assert not fleet.vms, "a VM that could not be restored was left behind"


def test_each_has_a_disk_of_its_own(family: Family) -> None:
    vms = [family.grandchild.vm, *(clone.vm for clone in family.clones)]
    holds(disk_problems({vm.name: vm.disk for vm in vms}, family.parent.bundle.rootfs))


def test_they_share_memory_pages(family: Family) -> None:
    """All but the first, which has a copy."""
    for clone in family.clones[1:]:
        holds(sharing_problems(clone.name, memory_split(clone.vm.micro.pid, [family.parent.bundle.memory])))


def test_none_has_changed_the_snapshot(family: Family) -> None:
    family.parent.bundle.check_full()


def test_a_second_vm_on_a_disk_is_refused(family: Family, lane: Lane, tmp_path: Path) -> None:
    """Under another name, as a link would have it: two VMs that write one file system destroy it."""
    vm = family.clones[-1].vm
    other_name = vm.directory / "other.ext4"
    other_name.hardlink_to(vm.disk)
    config = dataclasses.replace(vm.micro.config, directory=tmp_path, disk=other_name, card=None)
    with pytest.raises(VMError, match=r"other\.ext4 \(inode \d+\): another VM runs on it"):
        restore_vm(lane, config, memory=family.parent.bundle.memory, state=family.parent.bundle.state)


def test_another_machine_is_refused(
    family: Family, spec: Spec, home: Home, lane: Lane, host_net: HostNet, key: SshKey
) -> None:
    machine = spec.machine.model_copy(update={"memory_mib": spec.machine.memory_mib * 2})
    with (
        Fleet(spec.model_copy(update={"machine": machine}), home, lane, host_net, key) as fleet,
        pytest.raises(SnapshotError, match=f"memory_mib: {spec.machine.memory_mib} in the snapshot"),
    ):
        fleet.restore(family.parent.bundle)


@pytest.mark.parametrize("name", ["memory", "state"])
def test_a_file_that_was_cut_off_is_refused(name: str, family: Family, other_fleet: Fleet, tmp_path: Path) -> None:
    """Also where no seal is checked; with one, hornet/snapshot refuses it first."""
    whole: Path = getattr(family.parent.bundle, name)
    for path in family.parent.bundle.directory.iterdir():
        if path != whole:
            (tmp_path / path.name).hardlink_to(path)
    clone_file(whole, tmp_path / whole.name)
    os.truncate(tmp_path / whole.name, whole.stat().st_size // 2)
    with pytest.raises(HornetError):
        other_fleet.restore(Bundle(tmp_path, family.parent.bundle.names))


def test_a_grandchild_goes_on(family: Family) -> None:
    """A snapshot of a clone, restored: the program from the first snapshot still runs."""
    grandchild = family.grandchild
    assert grandchild.sealed.origin.parent == family.parent.bundle.manifest().self_sha256
    assert grandchild.seen.nonce == family.parent.nonce
    assert grandchild.seen.count > family.clones[0].later.seen.count


def test_a_clone_outlives_its_snapshot(family: Family, fleet: Fleet) -> None:
    """One's snapshot was moved elsewhere, and removed before it ran: what it had not read yet was still there."""
    orphan = family.grandchild
    assert orphan.vm.parent
    assert not orphan.vm.parent.directory.exists()
    with pytest.raises(SnapshotError, match="missing"):
        fleet.restore(orphan.vm.parent)
    assert orphan.worked.startswith("git version"), orphan.worked


def test_the_disk_of_a_killed_vm_is_sound(family: Family, spec: Spec, home: Home) -> None:
    """kill -9 while it writes: the journal brings the file system back, and what was synced is there."""
    vm = family.clones[-1].vm
    vm.micro.resume()
    with Peer(vm, spec) as peer:
        synced = peer.answer(peer.ask()).seen.synced
    os.kill(vm.micro.pid, signal.SIGKILL)
    holds([str(finding) for finding in judge_ext4(vm.disk, home.run).findings])
    text = recovered_text(vm.disk, DISK_FILE, home.run)
    holds(counting_problems(DISK_FILE, text, r"^([0-9]{1,15})$", synced))
