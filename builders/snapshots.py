"""The snapshot of a built kernel and image. The VM is booted once; the snapshot is reused until an input changes."""

from __future__ import annotations

import re
from pathlib import Path

from filelock import FileLock

from builders.bill import snapshot_bill
from hornet.errors import SnapshotError, VMError
from hornet.foreign_file import read_json
from hornet.host.artifact_store import content_key, file_sha256
from hornet.host.progress import Progress
from hornet.snapshot import Bundle, open_bundle
from hornet.snapshot.bundle import BILL_FILE, MAX_BILL_BYTES
from hornet.snapshot.manifest import FORMAT
from hornet.spec.model import Spec
from hornet.spec.tiers import Root
from hornet.vm import snapshotting
from hornet.vm.fleet import VM, Fleet
from hornet.vm.snapshotting import origin_of, take_snapshot
from hornet.vmm.registry import driver_of, driver_sources, vmm_version

BOOT_ATTEMPTS = 3
WARM_UP_TIMEOUT_S = 120


def build_snapshot(
    fleet: Fleet, progress: Progress, *, kernel: Path, image: Path, tier: str, ready_signal: bool = True
) -> Bundle:
    """The snapshot of this kernel and image in the fleet's lane, cached in HORNET_HOME/snapshots.

    ready_signal: see Fleet.boot(). The snapshot's version name contains a hash of all inputs. Raises SnapshotError if
    the cached snapshot is damaged, VMError or GuestError if the image does not boot.
    """
    spec, workspace = fleet.spec, fleet.workspace
    inputs = {
        "kernel": file_sha256(kernel),
        "image": file_sha256(image),
        "machine": spec.machine.model_dump(),
        "warm_up": spec.snapshot.warm_up,
        "root": spec.root_of(tier),
        "lane": str(fleet.lane),
        "lane_settings": driver_of(fleet.lane).lane_settings(fleet.lane, spec.firecracker),
        "driver": {path.name: file_sha256(path) for path in driver_sources(fleet.lane)},
        "vmm_version": vmm_version(fleet.lane),
        "key": fleet.key.public_blob,
        "format": FORMAT,
        "builder": [file_sha256(Path(module)) for module in (__file__, snapshotting.__file__)],
        "bills": [file_sha256(path) for path in _bills(image, kernel)],
    }
    version = f"hornetos-{tier}-{content_key(inputs)}"
    target = workspace.snapshots / version
    # One builder at a time: concurrent requests wait on the lock and then find the snapshot.
    with FileLock(workspace.snapshots / f".{version}.build.lock"):
        if target.exists():
            return _reuse(open_bundle(target, spec.snapshot))
        return _build(fleet, progress, kernel, image, version, tier, ready_signal)


def _build(
    fleet: Fleet, progress: Progress, kernel: Path, image: Path, version: str, tier: str, ready_signal: bool
) -> Bundle:
    spec, key = fleet.spec, fleet.key.public_blob
    with progress.step("snapshot", f"booting {image.parent.name}/{image.name} in {fleet.lane}"):
        vm = _boot(fleet, progress, kernel, image, spec.root_of(tier), ready_signal)
        _warm_up(vm, spec)
    with progress.step("snapshot", f"taking {version}"):
        origin = origin_of(vm, spec, kernel_sha256=file_sha256(kernel), tier=tier, ssh_public_blob=key)
        text = _bill(version, image, kernel)
        bundle = take_snapshot(vm, fleet.workspace, spec, version=version, origin=origin, bill=text)
        fleet.remove(vm)
    for hazard in driver_of(fleet.lane).hazards(spec.firecracker, origin.kernel_release or ""):
        progress.say(f"snapshot: hazard of {hazard}")
    return bundle


def _warm_up(vm: VM, spec: Spec) -> None:
    """Run the commands of the spec. One may fail: conformance judges the tools."""
    for script in spec.snapshot.warm_up:
        vm.guest.run(script, WARM_UP_TIMEOUT_S)


def _bill(version: str, image: Path, kernel: Path) -> str | None:
    """The bill of materials of a snapshot; None if one of its two parts was made elsewhere and has none."""
    found = [read_json(path, MAX_BILL_BYTES) for path in _bills(image, kernel)]
    return snapshot_bill(version, found) if found else None


def _bills(image: Path, kernel: Path) -> list[Path]:
    """The bills of both parts; none if one of them has none."""
    found = [path.resolve().with_name(BILL_FILE) for path in (image, kernel)]
    return found if all(path.is_file() for path in found) else []


def _boot(fleet: Fleet, progress: Progress, kernel: Path, image: Path, root: Root, ready_signal: bool) -> VM:
    """A booted VM with a correctly calibrated timer. Raises VMError if all BOOT_ATTEMPTS boots lack one."""
    for _ in range(BOOT_ATTEMPTS):
        vm = fleet.boot(kernel, image, root=root, ready_signal=ready_signal)
        vm.guest.wait_ready(fleet.spec.machine.ssh_timeout_s)
        log = vm.guest.run("dmesg", fleet.spec.machine.ssh_timeout_s).stdout
        if not re.search(fleet.spec.boot.timer_lost, log):
            return vm
        progress.say(f"snapshot: {vm.name} miscalibrated its APIC timer: booting again")
        fleet.remove(vm)
    raise VMError(
        f"{image}: the guest miscalibrated its APIC timer in all {BOOT_ATTEMPTS} boots",
        "the host is too busy to emulate a guest: try again when the load is lower, or on a host with KVM",
    )


def _reuse(bundle: Bundle) -> Bundle:
    try:
        bundle.check_seal()
    except SnapshotError as error:
        raise SnapshotError(
            error.message, f"{error.hint}; to rebuild it, remove the directory {bundle.directory}"
        ) from error
    return bundle
