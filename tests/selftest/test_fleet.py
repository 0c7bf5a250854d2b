"""A fleet ends what it started: no VMM outlives the removal of its VM."""

from __future__ import annotations

from pathlib import Path
from unittest.mock import Mock

from hornet.host.workspace import Workspace
from hornet.spec.model import load_spec
from hornet.vm.fleet import VM, Fleet
from hornet.vmm.registry import lane_named


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
