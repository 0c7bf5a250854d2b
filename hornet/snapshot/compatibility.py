"""Checks whether a snapshot can be restored here: it needs the same VMM, machine and (under KVM) CPU."""

from __future__ import annotations

from hornet.errors import SnapshotError
from hornet.host.cpu import cpu_features_sha256, cpu_model
from hornet.snapshot.bundle import Bundle
from hornet.snapshot.manifest import Origin
from hornet.spec.firecracker import numbers
from hornet.spec.lane import Lane
from hornet.spec.machine import Machine
from hornet.vmm.registry import snapshot_format, vmm_version

MIB = 1 << 20


def check_compatible(bundle: Bundle, origin: Origin, lane: Lane, machine: Machine) -> None:
    """Raises SnapshotError naming every difference, which is clearer than the error of a VMM.

    origin: from the manifest that was read when the seal was checked.
    """
    problems = lane_problems(origin, lane, vmm_version(lane), snapshot_format(lane)) + machine_problems(origin, machine)
    problems += cpu_problems(origin, lane, cpu_model(), cpu_features_sha256())
    problems += memory_problems(origin, bundle.memory.stat().st_size)
    if problems:
        raise SnapshotError(
            f"{bundle.directory}: cannot be restored here:\n  " + "\n  ".join(problems),
            "restore it where it was taken, or take a new snapshot here: a snapshot cannot be converted",
        )


def lane_problems(origin: Origin, lane: Lane, version: str, snapshot_format: str | None) -> list[str]:
    """Compare lanes, and the format of device state: by its own version where both have one, else by the VMM's."""
    if origin.lane != str(lane):
        return [f"taken in lane {origin.lane}, this is {lane}"]
    if origin.vmm_version == version:
        return []
    versions = f"taken by {lane.vmm} {origin.vmm_version}, this is {lane.vmm} {version}"
    if origin.snapshot_format is None or snapshot_format is None:
        return [versions]
    if reads_format(snapshot_format, origin.snapshot_format):
        return []
    return [f"{versions}: it reads snapshots of format {snapshot_format}, this one has {origin.snapshot_format}"]


def reads_format(own: str, found: str) -> bool:
    """Whether a VMM reads another version of its format: the same major version, and no newer minor one.

    Source: Firecracker, docs/snapshotting/versioning.md.
    """
    own_parts, parts = numbers(own), numbers(found)
    return parts[:1] == own_parts[:1] and parts[1:2] <= own_parts[1:2]


def machine_problems(origin: Origin, machine: Machine) -> list[str]:
    """Compare the machine in the snapshot with the one in the spec."""
    pairs = {
        "memory_mib": (origin.memory_mib, machine.memory_mib),
        "vcpus": (origin.vcpus, machine.vcpus),
    }
    return [
        f"{name}: {taken} in the snapshot, {wanted} in the spec's [machine]"
        for name, (taken, wanted) in pairs.items()
        if taken != wanted
    ]


def cpu_problems(origin: Origin, lane: Lane, model: str, features_sha256: str) -> list[str]:
    """Compare CPU features: under KVM a guest keeps using those it found at boot. Emulated CPUs are all the same."""
    if lane.accelerator != "kvm" or origin.cpu_features_sha256 == features_sha256:
        return []
    return [f"taken on a CPU with other features: {origin.cpu_model}, this is {model}"]


def memory_problems(origin: Origin, found_bytes: int) -> list[str]:
    """Compare the size of the memory file with the manifest."""
    memory_mib = origin.memory_mib + origin.memory_hotplug_mib
    if found_bytes == memory_mib * MIB:
        return []
    return [f"the memory file has {found_bytes} bytes, a machine of {memory_mib} MiB has {memory_mib * MIB}"]


def origin_of_unchecked(bundle: Bundle) -> Origin | None:
    """The origin of a snapshot whose seal is not checked; None for one without a manifest, which was made elsewhere."""
    try:
        return bundle.manifest().origin
    except SnapshotError:
        return None
