"""Checks whether a snapshot can be restored here: it needs the same VMM, machine and (under KVM) CPU."""

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
    """Raises SnapshotError naming every difference, which is clearer than the error of a VMM.

    origin: from the manifest that was read when the seal was checked.
    """
    problems = lane_problems(origin, lane, vmm_version(lane)) + machine_problems(origin, machine)
    problems += cpu_problems(origin, lane, cpu_model(), cpu_features_sha256())
    problems += memory_problems(origin, bundle.memory.stat().st_size)
    if problems:
        raise SnapshotError(
            f"{bundle.directory}: cannot be restored here:\n  " + "\n  ".join(problems),
            "restore it where it was taken, or take a new snapshot here: a snapshot cannot be converted",
        )


def lane_problems(origin: Origin, lane: Lane, version: str) -> list[str]:
    """Compare lane and version: each VMM, accelerator and version has its own format of device state."""
    if origin.lane != str(lane):
        return [f"taken in lane {origin.lane}, this is {lane}"]
    if origin.vmm_version != version:
        return [f"taken by {lane.vmm} {origin.vmm_version}, this is {lane.vmm} {version}"]
    return []


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
    expected_bytes = origin.memory_mib * MIB
    if found_bytes == expected_bytes:
        return []
    return [f"the memory file has {found_bytes} bytes, a machine of {origin.memory_mib} MiB has {expected_bytes}"]


def is_frozen(bundle: Bundle) -> bool:
    """Whether the guest stays frozen until it is refreshed. A snapshot without a manifest is not from this suite."""
    try:
        return bundle.manifest().origin.frozen
    except SnapshotError:
        return False
