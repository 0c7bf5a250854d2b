"""Whether a snapshot can be restored here: the same VMM, CPU (under KVM) and machine as where it was taken."""

from __future__ import annotations

from hornet.errors import SnapshotError
from hornet.host.cpu import cpu_features_sha256, cpu_model
from hornet.snapshot.bundle import Bundle
from hornet.snapshot.manifest import Origin
from hornet.spec.lane import Lane
from hornet.spec.machine import Machine
from hornet.vmm.registry import vmm_version

MIB = 1 << 20


def check_compatible(bundle: Bundle, origin: Origin, lane: Lane, machine: Machine) -> None:
    """Raises SnapshotError naming everything that does not fit; what a VMM itself would say of it is hard to read.

    origin: of the manifest that was read when the seal was checked.
    """
    problems = lane_problems(origin, lane, vmm_version(lane)) + machine_problems(origin, machine)
    problems += cpu_problems(origin, lane, cpu_model(), cpu_features_sha256())
    problems += memory_problems(origin, bundle.memory.stat().st_size)
    if problems:
        raise SnapshotError(
            f"{bundle.directory}: can't be restored here:\n  " + "\n  ".join(problems),
            "restore it where it was made, or make a new snapshot here: a snapshot can't be converted",
        )


def lane_problems(origin: Origin, lane: Lane, version: str) -> list[str]:
    """Another VMM, accelerator or version writes and reads another device state."""
    if origin.lane != str(lane):
        return [f"taken in lane {origin.lane}, this is {lane}"]
    if origin.vmm_version != version:
        return [f"taken by {lane.vmm} {origin.vmm_version}, this is {lane.vmm} {version}"]
    return []


def machine_problems(origin: Origin, machine: Machine) -> list[str]:
    """The spec wants another machine than the one that the snapshot holds."""
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
    """Under KVM a guest goes on using the features that it found when it booted; an emulated CPU is always the same."""
    if lane.accelerator != "kvm" or origin.cpu_features_sha256 == features_sha256:
        return []
    return [f"taken on a CPU of other features: {origin.cpu_model}, this is {model}"]


def memory_problems(origin: Origin, found_bytes: int) -> list[str]:
    """A memory file that is not of the size that its manifest says."""
    expected_bytes = origin.memory_mib * MIB
    if found_bytes == expected_bytes:
        return []
    return [f"the memory file has {found_bytes} bytes, a machine of {origin.memory_mib} MiB has {expected_bytes}"]


def is_frozen(bundle: Bundle) -> bool:
    """Whether the guest stands still until it is told to go on. What has no manifest was not made by this project."""
    try:
        return bundle.manifest().origin.frozen
    except SnapshotError:
        return False
