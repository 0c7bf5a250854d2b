"""What the table of hazards says of VMGenID is what a clone's kernel does: bind the driver, and reseed."""

from __future__ import annotations

import pytest

from hornet.spec.lane import Lane
from hornet.vm.fleet import VM
from hornet.vmm.registry import vmm_version

pytestmark = pytest.mark.guest

TIMEOUT_S = 20
RESEEDED = "crng reseeded due to virtual machine fork"
# A driver of the ACPI bus before Linux 6.10, then one of the platform bus.
BOUND_DEVICES = "for place in /sys/bus/*/drivers/vmgenid/*:0*; do test -e $place && echo ${place##*/}; done; true"


def test_kernel_of_a_clone_reseeds_by_vmgenid(lane: Lane, restored_vm: VM) -> None:
    if lane.vmm != "firecracker":
        pytest.skip("not judged: only Firecracker has a VMGenID device")
    device = restored_vm.guest.check_output(BOUND_DEVICES, TIMEOUT_S).strip()
    release = restored_vm.guest.check_output("uname -r", TIMEOUT_S).strip()
    log = restored_vm.guest.check_output("dmesg", TIMEOUT_S)
    shown = f"Firecracker {vmm_version(lane)}, Linux {release}, device {device or 'not bound'}"
    print(shown)
    assert device, shown
    assert RESEEDED in log, shown
