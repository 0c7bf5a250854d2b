"""Clones: private disks, shared memory, any directory, any generation; what would destroy one is refused."""

from __future__ import annotations

import dataclasses
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hornet.checks.clones import disk_problems, sharing_problems
from hornet.checks.hazards import counting_problems
from hornet.errors import HornetError, SnapshotError, VMError
from hornet.formats.ext4.recover import recovered_text
from hornet.formats.ext4.verdict import judge_ext4
from hornet.host.file_copy import clone_file
from hornet.host.workspace import Workspace
from hornet.scenarios.agent_client import AgentClient
from hornet.scenarios.lineage import Lineage
from hornet.snapshot import Bundle
from hornet.spec.lane import Lane
from hornet.spec.model import Spec
from hornet.vm.agent import DISK_FILE
from hornet.vm.fleet import Fleet
from hornet.vm.memory import memory_split
from hornet.vmm.registry import driver_of
from hornet_fixtures.assertions import assert_no_problems

pytestmark = pytest.mark.conformance

TIMEOUT_S = 60


@pytest.fixture
def other_fleet(new_fleet: Callable[..., Fleet]) -> Iterator[Fleet]:
    """A fleet that checks no seals; it must leave nothing behind."""
    with new_fleet(check_seals=False) as fleet:
        yield fleet
        assert not fleet.vms, "a VM that could not be restored was left behind"


def test_each_has_a_disk_of_its_own(lineage: Lineage) -> None:
    vms = [lineage.grandchild.vm, *(clone.vm for clone in lineage.clones)]
    assert_no_problems(disk_problems({vm.name: vm.disk for vm in vms}, lineage.parent.bundle.rootfs))


def test_they_share_memory_pages(lineage: Lineage) -> None:
    """All but the first, which has a copy."""
    for clone in lineage.clones[1:]:
        assert_no_problems(sharing_problems(clone.name, memory_split(clone.vm.vmm.pid, [lineage.parent.bundle.memory])))


def test_none_has_changed_the_snapshot(lineage: Lineage) -> None:
    lineage.parent.bundle.check_full()


def test_a_second_vm_on_a_disk_is_refused(lineage: Lineage, lane: Lane, tmp_path: Path) -> None:
    """Under another name, as a link would have it: two VMs that write one file system destroy it."""
    vm = lineage.clones[-1].vm
    other_name = vm.directory / "other.ext4"
    other_name.hardlink_to(vm.disk)
    config = dataclasses.replace(vm.vmm.config, directory=tmp_path, disk=other_name, card=None)
    with pytest.raises(VMError, match=r"other\.ext4 \(inode \d+\): another VM runs on it"):
        driver_of(lane).restore(lane, config, memory=lineage.parent.bundle.memory, state=lineage.parent.bundle.state)


def test_another_machine_is_refused(lineage: Lineage, spec: Spec, new_fleet: Callable[..., Fleet]) -> None:
    with (
        new_fleet(memory_mib=spec.machine.memory_mib * 2) as fleet,
        pytest.raises(SnapshotError, match=f"memory_mib: {spec.machine.memory_mib} in the snapshot"),
    ):
        fleet.restore(lineage.parent.bundle)


@pytest.mark.parametrize("name", ["memory", "state"])
def test_a_file_that_was_cut_off_is_refused(name: str, lineage: Lineage, other_fleet: Fleet, tmp_path: Path) -> None:
    """Also where no seal is checked; with one, hornet/snapshot refuses it first."""
    whole: Path = getattr(lineage.parent.bundle, name)
    for path in lineage.parent.bundle.directory.iterdir():
        if path != whole:
            (tmp_path / path.name).hardlink_to(path)
    clone_file(whole, tmp_path / whole.name)
    os.truncate(tmp_path / whole.name, whole.stat().st_size // 2)
    with pytest.raises(HornetError):
        other_fleet.restore(Bundle(tmp_path, lineage.parent.bundle.names))


def test_a_grandchild_goes_on(lineage: Lineage) -> None:
    """A snapshot of a clone, restored: the program from the first snapshot still runs."""
    grandchild = lineage.grandchild
    assert grandchild.sealed.origin.parent == lineage.parent.bundle.manifest().self_sha256
    assert grandchild.seen.nonce == lineage.parent.nonce
    assert grandchild.seen.count > lineage.clones[0].later.seen.count


def test_a_clone_outlives_its_snapshot(lineage: Lineage, fleet: Fleet) -> None:
    """One's snapshot was moved elsewhere, and removed before it ran: what it had not read yet was still there."""
    orphan = lineage.grandchild
    assert orphan.vm.parent
    assert not orphan.vm.parent.directory.exists()
    with pytest.raises(SnapshotError, match="missing"):
        fleet.restore(orphan.vm.parent)
    assert orphan.worked.startswith("git version"), orphan.worked


def test_the_disk_of_a_killed_vm_is_sound(lineage: Lineage, spec: Spec, workspace: Workspace) -> None:
    """kill -9 while it writes: the journal brings the file system back, and what was synced is there."""
    vm = lineage.clones[-1].vm
    vm.vmm.resume()
    with AgentClient(vm, spec) as agent:
        synced = agent.answer(agent.ask()).seen.synced
    os.kill(vm.vmm.pid, signal.SIGKILL)
    assert_no_problems([str(finding) for finding in judge_ext4(vm.disk, workspace.run).findings])
    text = recovered_text(vm.disk, DISK_FILE, workspace.run)
    assert_no_problems(counting_problems(DISK_FILE, text, r"^([0-9]{1,15})$", synced))
