"""Take a snapshot of a running VM, in the right order (guide: Correct Workflow, SOP 1)."""

from __future__ import annotations

import hashlib

from hornet.cpu import cpu_features_sha256, cpu_model
from hornet.files import clone_file
from hornet.fleet import VM
from hornet.home import Home
from hornet.snapshot.bundle import Bundle, publishing
from hornet.snapshot.manifest import Origin
from hornet.spec import Spec
from hornet.vmm import vmm_version

SYNC_TIMEOUT_S = 60


def take_snapshot(vm: VM, home: Home, spec: Spec, *, version: str, origin: Origin) -> Bundle:
    """Snapshot a VM as HORNET_HOME/snapshots/<version>; the VM is paused afterwards.

    The guest writes out what it holds; the VM is paused; memory, state and disk are copied while it stands
    still; the seal is put on; one rename publishes. Raises SnapshotError, VMError, GuestError.
    """
    vm.guest.run("sync", SYNC_TIMEOUT_S)
    target = home.snapshots / version
    with publishing(target, spec.snapshot) as bundle:
        vm.micro.pause()
        vm.micro.snapshot(bundle.memory, bundle.state)
        clone_file(vm.disk, bundle.rootfs)
        bundle.seal(version, origin)
    return Bundle(target, spec.snapshot)


def origin_of(vm: VM, spec: Spec, *, kernel_sha256: str, tier: str, ssh_public_blob: str) -> Origin:
    """What a snapshot of this VM must say about where it comes from."""
    lane, config = vm.micro.lane, vm.micro.config
    release = vm.guest.run("uname -r", SYNC_TIMEOUT_S).stdout.strip()
    return Origin(
        lane=str(lane),
        vmm_version=vmm_version(lane),
        cpu_model=cpu_model(),
        cpu_features_sha256=cpu_features_sha256(),
        memory_mib=config.memory_mib,
        vcpus=config.vcpus,
        kernel_sha256=kernel_sha256,
        kernel_release=release,
        tier=tier,
        spec_sha256=hashlib.sha256(spec.model_dump_json().encode()).hexdigest(),
        ssh_public_blob=ssh_public_blob,
        parent=vm.parent.manifest().self_sha256 if vm.parent else None,
    )
