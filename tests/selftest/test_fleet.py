"""A fleet ends what it started: no VMM outlives the removal of its VM."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from unittest.mock import Mock

import pytest

from hornet.errors import BrokenSnapshotError, SnapshotError
from hornet.host.workspace import Workspace
from hornet.snapshot import Bundle
from hornet.snapshot.manifest import MANIFEST_FILE, Manifest
from hornet.spec.model import load_spec
from hornet.vm.fleet import VM, Fleet
from hornet.vmm.open_files import check_own_disk
from hornet.vmm.registry import lane_named
from tests.support import bundle_samples
from tests.support.bundle_samples import ORIGIN


def test_removing_a_vm_kills_its_vmm(tmp_path: Path) -> None:
    fleet = Fleet(load_spec(), Workspace(tmp_path), lane_named("qemu/tcg"), Mock(), Mock())
    vm = VM(fleet._ids.take(), "vm7", tmp_path / "vm7", None)
    vm.namespace, vm.guest, vm.owned, vm.vmm = Mock(), Mock(), Mock(), Mock()
    vm.vmm.console.tail.return_value = "login:"
    fleet.vms.append(vm)
    fleet.running.append(vm)
    assert vm.diagnostics().endswith("login:")
    fleet.remove(vm)
    for part in (vm.vmm.kill, vm.guest.close, vm.namespace.remove, vm.owned.remove):
        part.assert_called_once_with()
    assert vm not in fleet.running


@pytest.fixture
def restored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., VM]:
    """Restores a snapshot, frozen or not, with a VMM and a guest that do what they are told."""
    lane, spec = lane_named(ORIGIN.lane), load_spec()
    machine = spec.machine.model_copy(update={"memory_mib": ORIGIN.memory_mib, "vcpus": ORIGIN.vcpus})
    monkeypatch.setattr("hornet.snapshot.compatibility.vmm_version", lambda _: ORIGIN.vmm_version)
    monkeypatch.setattr("hornet.vm.fleet.Guest", Mock())
    monkeypatch.setattr("hornet.vm.fleet.check_own_disk", Mock())

    def restore(bundle: Bundle, *, check_seals: bool = True) -> VM:
        home = Workspace(tmp_path / "home")
        key = Mock(private_path=tmp_path / "id")
        fleet = Fleet(
            spec.model_copy(update={"machine": machine}), home, lane, Mock(prefix=""), key, check_seals=check_seals
        )
        namespace = Mock(vm_id=fleet._ids.take())
        namespace.name = namespace.plan.namespace = "vm1"
        fleet._networks = Mock(**{"take.return_value": namespace})
        fleet._driver = Mock()
        vmm = Mock(pid=os.getpid(), phases_ms={})
        vmm.orders.wait_for = lambda pattern, _timeout_s: [pattern.partition("|")[0]]
        fleet._driver.restore.return_value = vmm
        vm = fleet.restore(bundle)
        fleet.remove(vm)
        return vm

    return restore


@pytest.mark.parametrize("frozen", [True, False], ids=["frozen", "running"])
@pytest.mark.parametrize("check_seals", [True, False], ids=["sealed", "unchecked"])
def test_a_restore_reads_the_manifest_once(
    check_seals: bool, frozen: bool, restored: Callable[..., VM], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = bundle_samples.make_bundle(tmp_path / "v1.0")
    bundle.seal("v1.0", ORIGIN.model_copy(update={"frozen": frozen}))
    read = Mock(side_effect=Manifest.read)
    monkeypatch.setattr("hornet.snapshot.bundle.Manifest.read", read)
    vm = restored(bundle, check_seals=check_seals)
    assert read.call_count == 1
    assert ("refresh_ms" in vm.phases_ms) == frozen


def test_a_snapshot_without_a_manifest_can_be_restored_unchecked(restored: Callable[..., VM], tmp_path: Path) -> None:
    bundle = bundle_samples.make_bundle(tmp_path / "v1.0")
    (bundle.directory / MANIFEST_FILE).unlink()
    assert "refresh_ms" not in restored(bundle, check_seals=False).phases_ms
    with pytest.raises(BrokenSnapshotError, match="never sealed"):
        restored(bundle)


def test_vmm_without_its_own_disk_is_ended_before_its_guest_runs(
    restored: Callable[..., VM], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = bundle_samples.make_bundle(tmp_path / "v1.0")
    # This process plays the VMM. It has other files open, and not the disk.
    monkeypatch.setattr("hornet.vm.fleet.check_own_disk", check_own_disk)
    with pytest.raises(SnapshotError, match="restored with the disk") as caught:
        restored(bundle, check_seals=False)
    assert list(caught.value.phases_ms)[-1] == "own_disk_ms", "the phase that failed"
    assert not Fleet.running
