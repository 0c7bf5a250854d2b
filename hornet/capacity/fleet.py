"""How many hosts a fleet of agents needs, of one or several host types, and what its agents' VMs lack."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from hornet.capacity.breakdown import breakdown
from hornet.capacity.closed_form import share_not_fitting, vm_memory_for
from hornet.capacity.host_plan import HostPlan, Overflow, overflow, plan_host
from hornet.capacity.inputs import Input, caveats, inputs
from hornet.capacity.levers import Sensitivity, changed, sensitivity
from hornet.capacity.limits import Bound
from hornet.capacity.measured import Measured
from hornet.capacity.model import HostType, Scenario
from hornet.capacity.period import YearRisk, year_risk
from hornet.errors import HostError
from hornet.spec.capacity import Limit


@dataclass(frozen=True)
class HostsOfType:
    """The hosts of one type in an answer. hosts: how many are needed; agents: how many run on them together.

    alone: how many hosts of this type all agents would need, None if not one VM fits. overflow: of the fullest host;
    memory_overflow: of one with as many VMs as memory allows. year: of these hosts, each as full as the fullest.
    """

    host: HostType
    plan: HostPlan
    hosts: int
    agents: int
    alone: int | None
    overflow: Overflow
    memory_overflow: Overflow
    year: YearRisk

    @property
    def spare_vms(self) -> int:
        """The VMs that these hosts could hold beside their agents."""
        return self.hosts * self.plan.vms - self.agents


@dataclass(frozen=True)
class GuestFit:
    """Whether a VM is large enough. share: of the bursts that do not fit; needed_mb: VM memory at the plan's risk."""

    group: str
    vm_memory_mb: float
    share: float
    per_day: float
    needed_mb: float


@dataclass(frozen=True)
class WhatIf:
    """A changed scenario: hosts of the first type for all agents, by all bounds."""

    changes: str
    vms: int
    hosts: int | None
    binding: str


@dataclass(frozen=True)
class Spare:
    """Hosts beside the needed ones, so that all agents still fit if as many are lost. host: of the largest type used.

    hosts: how many there are; wanted: how many were asked for.
    """

    host: str
    hosts: int
    wanted: int


@dataclass(frozen=True)
class Answer:
    """A whole plan. other: the same with burst memory kept instead of returned, or the other way round.

    unplaced: agents for which the given hosts have no room. parts: MB of the fullest host of the first type, by part.
    """

    scenario: Scenario
    types: list[HostsOfType]
    unplaced: int
    spare: Spare
    guests: list[GuestFit]
    other: WhatIf
    what_ifs: list[WhatIf]
    sensitivity: Sensitivity
    parts: dict[str, float]
    inputs: list[Input]
    caveats: list[str]


def answer(
    scenarios: Sequence[Scenario],
    limits: Mapping[str, Limit],
    measurements: Sequence[Measured],
    what_ifs: Sequence[Mapping[str, float]] = (),
    spare_hosts: int = 0,
) -> Answer:
    """The plan for one scenario per host type, filled in their order, and so many spare hosts.

    Raises HostError if not one VM fits on any host, and for a what-if that is impossible.
    """
    errors = [found.error_mb for found in measurements if found.error_mb is not None]
    types, left = [], scenarios[0].agents
    for scenario in scenarios:
        plan = plan_host(scenario, limits, max(errors, default=0.0))
        types.append(_fill(scenario, plan, left))
        left -= types[-1].agents
    if not any(found.plan.vms for found in types):
        _refuse(types)
    first = scenarios[0]
    bounds = types[0].plan.bounds
    rows = inputs(first, measurements, bounds)
    return Answer(
        scenario=first,
        types=types,
        unplaced=left,
        spare=_spare(types, spare_hosts),
        guests=_guest_fits(first),
        other=_what_if(
            replace(first, kept=not first.kept),
            limits,
            "memory of a burst is returned to the host" if first.kept else "memory of a burst is kept by the VM",
        ),
        what_ifs=[
            _what_if(
                changed(first, dict(changes)), limits, ", ".join(f"{key} = {value:g}" for key, value in changes.items())
            )
            for changes in what_ifs
        ],
        sensitivity=sensitivity(first),
        parts=breakdown(first, types[0].overflow.vms),
        inputs=rows,
        caveats=caveats(rows, bounds, measurements),
    )


def hosts_for(agents: int, vms: int) -> int | None:
    """Hosts for so many agents; None if a host holds none."""
    return -(-agents // vms) if vms else None


def _fill(scenario: Scenario, plan: HostPlan, agents: int) -> HostsOfType:
    needed = hosts_for(agents, plan.vms) or 0
    hosts = needed if scenario.host.count is None else min(needed, scenario.host.count)
    placed = min(agents, hosts * plan.vms)
    # The agents are spread evenly, so this is the fullest host.
    fullest = -(-placed // hosts) if hosts else 0
    return HostsOfType(
        host=scenario.host,
        plan=plan,
        hosts=hosts,
        agents=placed,
        alone=hosts_for(scenario.agents, plan.vms),
        overflow=overflow(scenario, fullest),
        memory_overflow=overflow(scenario, plan.memory.vms),
        year=year_risk(scenario, fullest, hosts),
    )


def _spare(types: Sequence[HostsOfType], wanted: int) -> Spare:
    """Spare hosts of the type that holds the most VMs: one of them replaces any lost host."""
    largest = max((found for found in types if found.hosts), key=lambda found: found.plan.vms)
    count = largest.host.count
    return Spare(largest.host.name, wanted if count is None else min(wanted, count - largest.hosts), wanted)


def _refuse(types: Sequence[HostsOfType]) -> None:
    reasons = [f"host {found.host.name}: {_sentence(found.plan.bounds[0])}" for found in types]
    raise HostError(
        f"not one VM fits: {'; '.join(reasons)}", "give larger hosts, smaller VMs, or raise the limit that binds"
    )


def _sentence(bound: Bound) -> str:
    return f"{bound.title} ({bound.reason})"


def _guest_fits(scenario: Scenario) -> list[GuestFit]:
    fits = []
    for group in scenario.groups:
        share = share_not_fitting(group) if group.profile.busy_share else 0.0
        fits.append(
            GuestFit(
                group.name,
                group.vm_memory_mb,
                share,
                share * group.profile.bursts_per_day,
                vm_memory_for(group, scenario.risk),
            )
        )
    return fits


def _what_if(scenario: Scenario, limits: Mapping[str, Limit], changes: str) -> WhatIf:
    bounds = plan_host(scenario, limits).bounds
    return WhatIf(changes, bounds[0].vms, hosts_for(scenario.agents, bounds[0].vms), bounds[0].title)
