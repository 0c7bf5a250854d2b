"""Clones have private disks and shared memory, in any directory and generation; dangerous restores are refused."""

from __future__ import annotations

import dataclasses
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hornet.checks.clones import disk_problems, sharing_problems
from hornet.checks.hazards import counting_problems
from hornet.errors import SnapshotError, VMError
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
from hornet.vmm.open_files import check_shared_root
from hornet.vmm.registry import driver_of
from hornet_fixtures.assertions import assert_no_problems

pytestmark = pytest.mark.conformance

TIMEOUT_S = 60


@pytest.fixture
def other_fleet(new_fleet: Callable[..., Fleet]) -> Iterator[Fleet]:
    """A fleet that does not check seals; it must leave nothing behind."""
    with new_fleet(check_seals=False) as fleet:
        yield fleet
        assert not fleet.vms, "a VM that could not be restored was left behind"


@pytest.mark.requirement("clone-own-disk")
def test_each_clone_has_its_own_disk(lineage: Lineage) -> None:
    vms = [clone.vm for clone in lineage.clones]
    if vms[0].shares_root:
        for vm in vms:
            check_shared_root(vm.vmm.pid, vm.disk, vm.directory)
        return
    vms.append(lineage.grandchild.vm)
    assert_no_problems(disk_problems({vm.name: vm.disk for vm in vms}, lineage.parent.bundle.rootfs))


@pytest.mark.requirement("clone-shared-memory")
def test_clones_share_memory_pages(lineage: Lineage) -> None:
    """All clones but the first, which has a copy."""
    for clone in lineage.clones[1:]:
        # A VMM in a cell maps the snapshot's file under another name.
        files = [lineage.parent.bundle.memory, *clone.vm.vmm.memory_files()]
        assert_no_problems(sharing_problems(clone.name, memory_split(clone.vm.vmm.pid, files)))


@pytest.mark.requirement("clones-keep-snapshot")
def test_clones_do_not_change_the_snapshot(lineage: Lineage) -> None:
    lineage.parent.bundle.check_full()


@pytest.mark.requirement("disk-single-user")
def test_second_vm_on_one_disk_is_rejected(lineage: Lineage, lane: Lane, tmp_path: Path) -> None:
    """Also through a link: two VMs that write one file system destroy it."""
    vm = lineage.clones[-1].vm
    if vm.shares_root:  # no second name: it would change the snapshot's file
        other_name = vm.disk
    else:
        other_name = vm.directory / "other.ext4"
        other_name.hardlink_to(vm.disk)
    config = dataclasses.replace(vm.vmm.config, directory=tmp_path, disk=other_name, card=None, shares_root=False)
    with pytest.raises(VMError, match=rf"{other_name.name} \(inode \d+\): another VM uses it"):
        driver_of(lane).restore(lane, config, memory=lineage.parent.bundle.memory, state=lineage.parent.bundle.state)


@pytest.mark.requirement("restore-other-machine")
def test_different_machine_is_rejected(lineage: Lineage, spec: Spec, new_fleet: Callable[..., Fleet]) -> None:
    with (
        new_fleet(memory_mib=spec.machine.memory_mib * 2) as fleet,
        pytest.raises(SnapshotError, match=f"memory_mib: {spec.machine.memory_mib} in the snapshot"),
    ):
        fleet.restore(lineage.parent.bundle)


@pytest.mark.requirement("restore-truncated")
@pytest.mark.parametrize("name", ["memory", "state"])
def test_truncated_file_is_rejected(name: str, lineage: Lineage, other_fleet: Fleet) -> None:
    """Even without a seal check, which would refuse it first."""
    bundle = lineage.parent.bundle
    whole: Path = getattr(bundle, name)
    # Beside it, on the same file system: the other files are hard links. The lineage's directory is removed in the end.
    truncated = bundle.directory.with_name(f"truncated-{name}")
    truncated.mkdir()
    for path in bundle.directory.iterdir():
        if path != whole:
            (truncated / path.name).hardlink_to(path)
    clone_file(whole, truncated / whole.name)
    os.truncate(truncated / whole.name, whole.stat().st_size // 2)
    with pytest.raises(VMError):
        other_fleet.restore(Bundle(truncated, bundle.names))


@pytest.mark.requirement("clone-of-clone")
def test_clone_of_a_clone_continues(lineage: Lineage) -> None:
    """The program of the first snapshot still runs in a restored snapshot of a clone."""
    grandchild = lineage.grandchild
    assert grandchild.sealed.origin.parent == lineage.parent.bundle.manifest().self_sha256
    assert grandchild.seen.nonce == lineage.parent.nonce
    assert grandchild.seen.count > lineage.clones[0].later.seen.count


@pytest.mark.requirement("clone-outlives-snapshot")
def test_clone_outlives_its_snapshot(lineage: Lineage, fleet: Fleet) -> None:
    """A clone's snapshot was moved and then removed before the clone ran. The clone could still read all of it."""
    orphan = lineage.grandchild
    assert orphan.vm.parent
    assert not orphan.vm.parent.directory.exists()
    with pytest.raises(SnapshotError, match="missing"):
        fleet.restore(orphan.vm.parent)
    assert orphan.worked.startswith("git version"), orphan.worked


@pytest.mark.requirement("killed-vm-disk-sound")
def test_disk_of_a_killed_vm_is_sound(lineage: Lineage, spec: Spec, workspace: Workspace) -> None:
    """After kill -9 during writes, the journal restores the file system, and synced data is there."""
    vm = lineage.clones[-1].vm
    if vm.shares_root:
        pytest.skip("not judged: its root file system is shared, so what it writes is in its memory only")
    vm.vmm.resume()
    with AgentClient(vm, spec) as agent:
        synced = agent.answer(agent.ask()).seen.synced
    os.kill(vm.vmm.pid, signal.SIGKILL)
    assert_no_problems([str(finding) for finding in judge_ext4(vm.disk, workspace.run).findings])
    text = recovered_text(vm.disk, DISK_FILE, workspace.run)
    assert_no_problems(counting_problems(DISK_FILE, text, r"^([0-9]{1,15})$", synced))
