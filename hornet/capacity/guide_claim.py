"""The guide's 60 to 120 VMs per 16 GB, tried for each tier, memory size and profile."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from hornet.capacity.host_plan import vms_by_memory
from hornet.capacity.levers import SCENARIOS
from hornet.capacity.measured import Measured
from hornet.capacity.model import MB_PER_MIB, Group, HostType, Scenario
from hornet.errors import HostError
from hornet.spec.capacity import Capacity, Profile
from hornet.spec.targets import Metric

VM_MEMORY_MIB = (128, 256, 512, 1024, 2048, 4096)


@dataclass(frozen=True)
class ClaimRow:
    """VMs on the guide's host. vms: by memory alone, None if the agent does not fit into such a VM at rest."""

    tier: str
    profile: str
    vm_memory_mib: int
    vms: int | None
    result: str


def guide_claim(
    capacity: Capacity,
    density: Metric,
    measurements: Sequence[Measured],
    profiles: Mapping[str, Profile],
    *,
    kept: bool,
    risk: float,
) -> list[ClaimRow]:
    """One row for each measured tier, profile and memory size."""
    rows = []
    for found in measurements:
        for name, profile in profiles.items():
            for mib in VM_MEMORY_MIB:
                vms = _vms(capacity, found, name, profile, mib, kept=kept, risk=risk)
                rows.append(ClaimRow(found.tier, name, mib, vms, _result(vms, density)))
    return rows


def _vms(
    capacity: Capacity, found: Measured, name: str, profile: Profile, mib: int, *, kept: bool, risk: float
) -> int | None:
    host = HostType("guide", capacity.host_memory_mb, capacity.host_reserved_mb, capacity.assumptions.host_cores.value)
    try:
        group = Group(name, 1, profile, found.footprint, found.run, mib * MB_PER_MIB, capacity.assumptions)
    except HostError:
        return None
    scenario = Scenario((group,), host, risk, kept, capacity.seed, min(SCENARIOS, capacity.scenarios))
    return vms_by_memory(replace(scenario, risk=risk))


def _result(vms: int | None, density: Metric) -> str:
    target, stretch = density.target or 0, density.stretch or density.target or 0
    if vms is None:
        return "the agent does not fit"
    if vms < target:
        return "refuted: fewer"
    return "confirmed" if vms <= stretch else "confirmed: more"
