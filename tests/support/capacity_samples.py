"""Scenarios of capacity for tests. Every figure is made up."""

from __future__ import annotations

from typing import Any

from hornet.capacity.footprint import Footprint
from hornet.capacity.model import Group, HostType, Scenario
from hornet.spec.capacity import Assumptions, Profile, Sourced

NOTHING = Sourced(value=0, kind="assumed", source="made up")
SOME = Sourced(value=1, kind="assumed", source="made up")


def assumptions(**values: float) -> Assumptions:
    """No memory beside the guest's, unless a value is given."""
    needed = ("host_cores", "cores_per_core", "restart_s", "restores_per_core_s", "disk_read_mb_per_s")
    facts = {name: SOME if name in needed else NOTHING for name in Assumptions.model_fields}
    facts |= {"lifetime_s": _sourced(3600), "cpu_risk": _sourced(0.1)}
    return Assumptions(**(facts | {name: _sourced(value) for name, value in values.items()}))


def _sourced(value: float) -> Sourced:
    return Sourced(value=value, kind="assumed", source="made up")


def profile(**changes: Any) -> Profile:
    """Bursts with a median of 100 MB in 30 % of the time, independent of each other."""
    facts: dict[str, Any] = {
        "title": "made up",
        "source": "made up",
        "kind": "assumed",
        "idle_mb": 50,
        "busy_share": 0.3,
        "burst_mb": [[0.5, 100], [0.95, 400]],
        "burst_max_mb": 2000,
        "cpu_idle": 0.1,
        "cpu_busy": 1,
    }
    return Profile.model_validate(facts | changes)


def group(agents: int = 100, name: str = "one", vm_memory_mb: float = 4000, **changes: Any) -> Group:
    return Group(name, agents, profile(**changes), Footprint(20, 40), "snapshot", vm_memory_mb, assumptions())


def scenario(*groups: Group, **changes: Any) -> Scenario:
    facts: dict[str, Any] = {
        "groups": groups or (group(),),
        "host": HostType("host", 6000, 0, 16),
        "risk": 0.05,
        "kept": False,
        "seed": 7,
        "scenarios": 4000,
    }
    return Scenario(**(facts | changes))
