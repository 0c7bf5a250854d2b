"""How many VMs one host can hold: memory by simulation and closed form, then every other bound."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.special import ndtri

from hornet.capacity.closed_form import ClosedForms, closed_forms
from hornet.capacity.footprint import Footprint
from hornet.capacity.limits import Bound, kernel_bounds, restart_bounds
from hornet.capacity.model import Scenario
from hornet.capacity.period import YearBound
from hornet.capacity.simulate import Counts, cpu_demand, fitting, largest, memory_demand, risk_at, totals
from hornet.spec.capacity import Limit
from hornet.spec.types import DAY_S

# More VMs than network.max_vm_id allows are never simulated.
MAX_VMS = 65_536
# Draws of one simulation, about 3 s; a host with more VMs gets fewer moments, as the bursts of many even out.
MAX_DRAWS = 40_000_000
# Moments of a simulation that must exceed the memory: 20 are known to within a factor of 1.6.
EXCEEDING = 20
MIN_SCENARIOS = 2000
CURVE_POINTS = 60
CONFIDENCE = 0.95
SIGMAS = float(ndtri((1 + CONFIDENCE) / 2))


@dataclass(frozen=True)
class CurvePoint:
    """The risk of exceeding the memory with this many VMs. low, high: by the interval of the measured memory."""

    vms: int
    risk: float
    low: float
    high: float


@dataclass(frozen=True)
class MemoryPlan:
    """VMs that fit into a host's memory at the risk.

    simulated, with `low` and `high`: the 95 % interval from the scenarios and from the measured memory of a VM;
    closed: by formulas. vms: the smaller of simulation and normal approximation. scenarios: how many moments.
    """

    vms: int
    simulated: int
    low: int
    high: int
    closed: ClosedForms
    explanation: str
    scenarios: int
    curve: list[CurvePoint]


@dataclass(frozen=True)
class Overflow:
    """What happens with `vms` on a host when their memory exceeds it.

    risk: share of the moments; risk_at_most: its 95 % bound. hours_between: mean time between two overflows of a host,
    None if bursts are kept. mean_mb, p95_mb: what is then missing. waiting: agents whose burst must wait, if bursts are
    held back. killed: VMs that the kernel ends, if nothing is done.
    """

    vms: int
    risk: float
    risk_at_most: float
    seconds_per_day: float | None
    hours_between: float | None
    mean_mb: float
    p95_mb: float
    waiting: float
    killed: float


@dataclass(frozen=True)
class HostPlan:
    """VMs per host, what binds (first) and would bind next, in `bounds` from the tightest on."""

    vms: int
    memory: MemoryPlan
    bounds: list[Bound]


def plan_memory(scenario: Scenario, error_mb: float = 0) -> MemoryPlan:
    """Plan a host's memory. error_mb: half of the 95 % interval of the measured private memory of a VM."""
    closed = closed_forms(scenario)
    mine = sized(scenario, closed.at_rest)
    counts, smaller, larger = _counts(mine, (0, error_mb, -min(error_mb, scenario.rest_mb / 2)))
    simulated = largest(counts, scenario.risk)
    spread = SIGMAS * float(np.sqrt(scenario.risk * (1 - scenario.risk) / mine.scenarios))
    return MemoryPlan(
        vms=min(simulated, closed.normal),
        simulated=simulated,
        low=largest(smaller, max(0.0, scenario.risk - spread)),
        high=largest(larger, scenario.risk + spread),
        closed=closed,
        explanation=_explanation(simulated, closed, scenario),
        scenarios=mine.scenarios,
        curve=_curve(counts, smaller, larger),
    )


def plan_host(scenario: Scenario, limits: Mapping[str, Limit], error_mb: float = 0) -> HostPlan:
    """Plan a host: memory, processors, restores, and the limits of its kernel and disk."""
    memory = plan_memory(scenario, error_mb)
    room_mb = scenario.host.available_mb
    bounds = [
        Bound(
            "memory",
            "memory",
            memory.vms,
            f"{room_mb:,.0f} MB for VMs at a risk of {percent(scenario.risk)}",
            "computed",
            "simulation and normal approximation, the smaller of both",
        ),
        *([_memory_over_a_year(scenario)] if scenario.over_year else []),
        _processors(scenario),
        *restart_bounds(scenario),
        *kernel_bounds(limits),
    ]
    bounds.sort(key=lambda bound: bound.vms)
    return HostPlan(bounds[0].vms, memory, bounds)


def vms_by_memory(scenario: Scenario) -> int:
    """Only the number of plan_memory(), for many scenarios in a row."""
    closed = closed_forms(scenario)
    return min(closed.normal, largest(_counts(sized(scenario, closed.at_rest))[0], scenario.risk))


def vms_by_processors(scenario: Scenario) -> int:
    """The largest number of VMs whose demand for processors exceeds the host's in a small share of the moments."""
    lowest = float(scenario.weights @ [min(it.profile.cpu_idle, it.profile.cpu_busy) for it in scenario.groups])
    given = scenario.groups[0].assumptions
    cores = scenario.host.cores * given.cores_per_core.value
    at_most = min(int(cores / lowest) + 1, MAX_VMS) if lowest else MAX_VMS
    (counts,) = fitting(sized(scenario, at_most), cpu_demand, cores, at_most)
    return largest(counts, given.cpu_risk.value)


def overflow(scenario: Scenario, vms: int) -> Overflow:
    """What happens when `vms` agents on one host exceed its memory."""
    mine = sized(scenario, vms)
    taken_mb = totals(mine, memory_demand(mine), vms)
    missing_mb = taken_mb[taken_mb > scenario.room_mb] - scenario.room_mb
    risk = len(missing_mb) / mine.scenarios
    weights = scenario.weights
    burst_s = float(weights @ [group.profile.burst_s for group in scenario.groups])
    burst_mb = float(weights @ [group.burst.moments()[0] for group in scenario.groups])
    mean_mb = float(missing_mb.mean()) if len(missing_mb) else 0.0
    p95_mb = float(np.quantile(missing_mb, 0.95)) if len(missing_mb) else 0.0
    return Overflow(
        vms=vms,
        risk=risk,
        risk_at_most=_upper_bound(len(missing_mb), mine.scenarios),
        seconds_per_day=None if scenario.kept else risk * DAY_S,
        hours_between=None if scenario.kept or not risk else burst_s / risk / 3600,
        mean_mb=mean_mb,
        p95_mb=p95_mb,
        waiting=mean_mb / burst_mb if burst_mb else 0.0,
        killed=float(np.ceil(mean_mb / (scenario.rest_mb + burst_mb))),
    )


def percent(share: float) -> str:
    """A share as text, in three digits."""
    return f"{100 * share:.3g} %"


def sized(scenario: Scenario, vms: int) -> Scenario:
    """The same scenario with as many moments as its risk needs and time allows."""
    needed = int(np.ceil(EXCEEDING / scenario.risk))
    affordable = max(MIN_SCENARIOS, MAX_DRAWS // max(1, min(vms, MAX_VMS)))
    return replace(scenario, scenarios=max(needed, min(scenario.scenarios, affordable)))


def _counts(scenario: Scenario, errors_mb: Sequence[float] = (0.0,)) -> list[Counts]:
    """VMs that fit in each moment, for each of the errors of the memory of a VM."""
    lightest = Footprint(scenario.rest_mb + min(errors_mb), scenario.shared_mb)
    at_most = min(lightest.vms_in(scenario.host.available_mb) + 1, MAX_VMS)
    return fitting(scenario, memory_demand(scenario), scenario.room_mb, at_most, errors_mb)


def _memory_over_a_year(scenario: Scenario) -> Bound:
    return Bound(
        "memory_year",
        "memory over a year",
        YearBound(scenario).allowed(scenario.risk),
        f"the risk that any host exceeds its memory within a year is at most {percent(scenario.risk)}",
        "computed",
        "Chernoff's bound of each moment, for as many moments as bursts end",
    )


def _processors(scenario: Scenario) -> Bound:
    given = scenario.groups[0].assumptions
    cores = scenario.host.cores * given.cores_per_core.value
    reason = f"demand exceeds {cores:g} cores in at most {percent(given.cpu_risk.value)} of the moments"
    source = f"{given.cpu_risk.source}; {given.cores_per_core.source}"
    return Bound("processors", "processors", vms_by_processors(scenario), reason, given.cpu_risk.kind, source)


def _curve(counts: Counts, smaller: Counts, larger: Counts) -> list[CurvePoint]:
    """The risk from the first number of VMs that ever exceeds the memory to the first that always does."""
    first, last = max(0, int(smaller.min()) - 1), int(larger.max()) + 1
    steps = sorted({int(vms) for vms in np.linspace(first, last, CURVE_POINTS)})
    return [CurvePoint(vms, risk_at(counts, vms), risk_at(larger, vms), risk_at(smaller, vms)) for vms in steps]


def _upper_bound(found: int, of: int) -> float:
    """Wilson's 95 % upper bound of a share. Source: Wilson 1927."""
    share, z2 = found / of, SIGMAS**2
    root = np.sqrt(share * (1 - share) / of + z2 / (4 * of * of))
    return float((share + z2 / (2 * of) + SIGMAS * root) / (1 + z2 / of))


def _explanation(simulated: int, closed: ClosedForms, scenario: Scenario) -> str:
    if not any(group.profile.busy_share for group in scenario.groups):
        return "No agent has bursts, so all methods count VMs at rest."
    if closed.normal == simulated:
        taken = "Simulation and normal approximation agree."
    elif closed.normal > simulated:
        taken = (
            f"The normal approximation allows {closed.normal - simulated} more than the simulation: it ignores that "
            "bursts, and the number of busy agents, are skewed towards large values. The simulation counts."
        )
    else:
        taken = (
            f"The simulation allows {simulated - closed.normal} more than the normal approximation: the caps make the "
            "largest sums rarer than a normal tail. The normal approximation counts, as the smaller one."
        )
    if closed.all_at_cap >= simulated:
        return f"{taken} They fit even if all agents are in their largest burst at once."
    return (
        f"{taken} {closed.percentiles} would fit if each agent kept its own {1 - scenario.risk:.4g} quantile free, and "
        f"{closed.all_at_cap} if all were in their largest burst at once: both ignore that bursts of many even out."
    )
