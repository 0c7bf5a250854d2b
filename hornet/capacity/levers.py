"""What-if and sensitivity: one input of a scenario changed, by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from pydantic import ValidationError

from hornet.capacity.host_plan import vms_by_memory, vms_by_processors
from hornet.capacity.model import Group, Scenario
from hornet.errors import HornetError, HostError
from hornet.foreign_file import first_problem
from hornet.spec.capacity import Profile
from hornet.text import similar_names

# Enough moments for a comparison: both sides see the same ones.
SCENARIOS = 4000
STEP = 0.2


@dataclass(frozen=True)
class Lever:
    """An input that can be changed. get: its present value (of the largest group), or a factor of 1."""

    title: str
    get: Callable[[Scenario], float]
    set: Callable[[Scenario, float], Scenario]
    span: tuple[float, float] | None = None

    def tried(self, scenario: Scenario) -> tuple[float, float]:
        """The two values that sensitivity tries: 20 % less and more, or the lever's own span."""
        value = self.get(scenario)
        return self.span or (value * (1 - STEP), value * (1 + STEP))


@dataclass(frozen=True)
class Effect:
    """How VMs per host change with an input, for its low and its high value; None for an impossible one."""

    name: str
    title: str
    low: float
    high: float
    vms_at_low: int | None
    vms_at_high: int | None
    vms: int

    @property
    def swing(self) -> int:
        """The largest change of VMs per host."""
        return max(
            (abs(found - self.vms) for found in (self.vms_at_low, self.vms_at_high) if found is not None), default=0
        )


def _profile_lever(title: str, name: str, span: tuple[float, float] | None = None) -> Lever:
    def changed(scenario: Scenario, value: float) -> Scenario:
        return _each(scenario, lambda group: replace(group, profile=_with(group, {name: value})))

    return Lever(title, lambda scenario: float(getattr(_main(scenario).profile, name)), changed, span)


def _burst_scale(scenario: Scenario, factor: float) -> Scenario:
    def scaled(group: Group) -> Group:
        points = [[share, size * factor] for share, size in group.profile.burst_mb]
        most = group.profile.burst_max_mb
        return replace(group, profile=_with(group, {"burst_mb": points, "burst_max_mb": most and most * factor}))

    return _each(scenario, scaled)


def _footprint_lever(title: str, name: str) -> Lever:
    def changed(scenario: Scenario, value: float) -> Scenario:
        return _each(scenario, lambda group: replace(group, footprint=replace(group.footprint, **{name: value})))

    return Lever(title, lambda scenario: float(getattr(_main(scenario).footprint, name)), changed)


def _host_lever(title: str, name: str) -> Lever:
    def changed(scenario: Scenario, value: float) -> Scenario:
        changes: dict[str, Any] = {name: value}
        return replace(scenario, host=replace(scenario.host, **changes))

    return Lever(title, lambda scenario: float(getattr(scenario.host, name)), changed)


def _vm_memory(scenario: Scenario, value: float) -> Scenario:
    return _each(scenario, lambda group: replace(group, vm_memory_mb=value))


LEVERS = {
    "idle_mb": _profile_lever("agent's memory at rest", "idle_mb"),
    "page_cache_mb": _profile_lever("guest's page cache", "page_cache_mb"),
    "busy_share": _profile_lever("share of time in a burst", "busy_share"),
    "burst_scale": Lever("size of the bursts", lambda _: 1.0, _burst_scale),
    "correlation": _profile_lever("correlation of bursts", "correlation", (0.0, 0.3)),
    "cpu_busy": _profile_lever("cores in a burst", "cpu_busy"),
    "vm_memory_mb": Lever("memory of a VM", lambda scenario: _main(scenario).vm_memory_mb, _vm_memory),
    "private_mb": _footprint_lever("private memory of a VM", "private_mb"),
    "shared_mb": _footprint_lever("shared memory", "shared_mb"),
    "memory_mb": _host_lever("host's memory", "memory_mb"),
    "reserved_mb": _host_lever("host's reserve", "reserved_mb"),
    "cores": _host_lever("host's cores", "cores"),
    "risk": Lever("risk", lambda scenario: scenario.risk, lambda scenario, value: replace(scenario, risk=value)),
}


def changed(scenario: Scenario, changes: dict[str, float]) -> Scenario:
    """The scenario with some inputs changed. Raises HostError for an unknown name or an impossible value."""
    for name, value in changes.items():
        if name not in LEVERS:
            raise HostError(
                f"what-if {name!r}: no such input{similar_names(name, LEVERS)}", f"one of: {', '.join(LEVERS)}"
            )
        if name in ("private_mb", "vm_memory_mb", "memory_mb", "cores", "burst_scale") and value <= 0:
            raise HostError(f"what-if {name}: {value:g}, expected more than 0", "give another value")
        if name == "risk" and not 0.0001 <= value <= 0.5:
            raise HostError(f"what-if risk: {value:g}, expected 0.0001 to 0.5", "give another value")
        scenario = LEVERS[name].set(scenario, value)
    if scenario.host.available_mb <= 0:
        raise HostError(
            f"what-if: {scenario.host.memory_mb:g} MB of memory, {scenario.host.reserved_mb:g} of it reserved: nothing "
            "is left for VMs",
            "give another value",
        )
    return scenario


@dataclass(frozen=True)
class Sensitivity:
    """The effects of the inputs, the one that matters most first, none without effect.

    together: on the smaller of what memory and processors allow; memory: on what memory allows.
    """

    together: list[Effect]
    memory: list[Effect]


def sensitivity(scenario: Scenario) -> Sensitivity:
    """How much each input matters for the VMs of a host."""
    few = replace(scenario, scenarios=min(scenario.scenarios, SCENARIOS))
    plan = _both(few)
    counts: tuple[Callable[[tuple[int, int]], int], ...] = (min, _first)
    found: tuple[list[Effect], list[Effect]] = ([], [])
    for name, lever in LEVERS.items():
        low, high = lever.tried(few)
        if low == high:
            continue
        at_low, at_high = _try(few, name, low), _try(few, name, high)
        for effects, count in zip(found, counts, strict=True):
            ends = (at_low and count(at_low), at_high and count(at_high))
            effects.append(Effect(name, lever.title, low, high, *ends, count(plan)))
    together, memory = (
        sorted((effect for effect in effects if effect.swing), key=lambda effect: -effect.swing) for effects in found
    )
    return Sensitivity(together, memory)


def _both(scenario: Scenario) -> tuple[int, int]:
    return vms_by_memory(scenario), vms_by_processors(scenario)


def _first(both: tuple[int, int]) -> int:
    return both[0]


def _try(scenario: Scenario, name: str, value: float) -> tuple[int, int] | None:
    """None for a value that is impossible, as a share of more than 1."""
    try:
        return _both(changed(scenario, {name: value}))
    except HornetError:
        return None


def _main(scenario: Scenario) -> Group:
    return max(scenario.groups, key=lambda group: group.agents)


def _each(scenario: Scenario, change: Callable[[Group], Group]) -> Scenario:
    return replace(scenario, groups=tuple(change(group) for group in scenario.groups))


def _with(group: Group, changes: dict[str, Any]) -> Profile:
    """Raises HostError for a value that no profile may have."""
    try:
        return Profile.model_validate({**group.profile.model_dump(), **changes})
    except ValidationError as error:
        raise HostError(f"profile {group.name}: {first_problem(error)}", "give another value") from error
