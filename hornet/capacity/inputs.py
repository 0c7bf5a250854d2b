"""Every input of a plan with its value, how it is known, and where it comes from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hornet.capacity.host_plan import percent
from hornet.capacity.limits import Bound
from hornet.capacity.measured import Measured
from hornet.capacity.model import Group, Scenario
from hornet.spec.capacity import Kind

GIVEN = "option or spec"
# The inputs that make a plan of what would else be a measurement.
NOT_MEASURED: tuple[Kind, ...] = ("emulated", "assumed")


@dataclass(frozen=True)
class Input:
    """One input. value: as text, with its unit."""

    name: str
    value: str
    kind: Kind
    source: str


def inputs(scenario: Scenario, measurements: Sequence[Measured], bounds: Sequence[Bound]) -> list[Input]:
    """The inputs in the order of the model: host, VMs, agents, limits."""
    host = scenario.host
    given = [
        Input("agents", f"{scenario.agents:,}", "given", GIVEN),
        Input("risk", percent(scenario.risk) + (", also within a year" if scenario.over_year else ""), "given", GIVEN),
        Input("host memory", f"{host.memory_mb:,g} MB, {host.reserved_mb:,g} MB reserved", "given", GIVEN),
        Input("host cores", f"{host.cores:g}", "given", GIVEN),
        Input(
            "memory after a burst",
            "kept by the VM" if scenario.kept else "returned to the host",
            "assumed",
            "a guest returns memory only by free page reporting or a balloon that the host drives",
        ),
    ]
    return [
        *given,
        *(row for found in measurements for row in _measured(found)),
        *(row for group in scenario.groups for row in _of_profile(group)),
        *_assumptions(scenario),
        *(Input(limit_name(it), it.reason, it.kind, it.source) for it in bounds if it.name != "memory"),
    ]


def caveats(rows: Sequence[Input], bounds: Sequence[Bound], measurements: Sequence[Measured]) -> list[str]:
    """One sentence for each way in which inputs were not measured on hardware.

    bounds: from the tightest on. Limits that neither bind nor would bind next are not named.
    """
    far = {limit_name(bound) for bound in bounds[2:]}
    by_kind = {kind: [row.name for row in rows if row.kind == kind and row.name not in far] for kind in NOT_MEASURED}
    sentences = [f"{kind}: {_in_groups(names)}" for kind, names in by_kind.items() if names]
    few = [found for found in measurements if found.clones < bounds[0].vms]
    measured = ", ".join(f"{found.clones} in {found.origin}" for found in few)
    sentences += [f"not intact: {found.origin} ({found.changed[0]})" for found in measurements if found.changed]
    return [*sentences, *([f"extrapolated: {bounds[0].vms:,} VMs per host, measured with {measured}"] if few else [])]


def _in_groups(names: Sequence[str]) -> str:
    """Names of inputs, those of one tier or profile together: `claude-code (correlation; cpu_busy)`."""
    groups: dict[str, list[str]] = {}
    for name in names:
        owner, _, rest = name.rpartition(": ")
        groups.setdefault(owner, []).append(rest)
    alone = groups.pop("", [])
    return ", ".join([*(f"{owner} ({'; '.join(found)})" for owner, found in groups.items()), *alone])


def limit_name(bound: Bound) -> str:
    """The name of a bound among the inputs."""
    return f"limit: {bound.title}"


def _measured(found: Measured) -> list[Input]:
    error = "" if found.error_mb is None else f" ± {found.error_mb:.2g}"
    private = f"{found.footprint.private_mb:.4g}{error} MB per VM"
    return [
        Input(f"{found.tier}: VMM and guest, private", private, found.kind, found.source),
        Input(f"{found.tier}: shared once", f"{found.footprint.shared_mb:.4g} MB", found.kind, found.source),
    ]


def _of_profile(group: Group) -> list[Input]:
    profile = group.profile
    texts = {
        "idle_mb": f"{profile.idle_mb:g} MB at rest",
        "page_cache_mb": f"{profile.page_cache_mb:g} MB of page cache",
        "busy_share": f"{profile.busy_share:.0%} of the time in a burst",
        "burst_mb": _points(group),
        "burst_s": f"{profile.burst_s:g} s per burst",
        "correlation": f"correlation {profile.correlation:.2g}",
        "cpu_idle": f"{profile.cpu_idle:g} cores at rest",
        "cpu_busy": f"{profile.cpu_busy:g} cores in a burst",
    }
    rows = [_of_key(group, key, text) for key, text in texts.items()]
    return [*rows, Input(f"{group.name}: VM memory", f"{group.vm_memory_mb:,.0f} MB", "given", GIVEN)]


def _of_key(group: Group, key: str, text: str) -> Input:
    profile = group.profile
    if key in profile.given:
        return Input(f"{group.name}: {key}", text, "given", GIVEN)
    assumed = [name for name in profile.assumed if name.startswith(key)]
    kind: Kind = "assumed" if assumed else profile.kind
    return Input(f"{group.name}: {assumed[0] if assumed else key}", text, kind, profile.source)


def _points(group: Group) -> str:
    points = group.profile.burst_mb
    shown = points if len(points) <= 3 else [points[len(points) // 2], points[int(len(points) * 0.95)], points[-1]]
    text = ", ".join(f"p{share * 100:g} {size:.4g} MB" for share, size in shown)
    return f"{text or 'none'}, at most {group.profile.burst_max_mb:g} MB" if points else "none"


def _assumptions(scenario: Scenario) -> list[Input]:
    shown = ("network_mb", "kernel_mb", "page_tables_per_mb", "disk_cache_mb", "guest_used_mb", "lifetime_s")
    given = scenario.groups[0].assumptions
    rows = [(name, getattr(given, name)) for name in shown]
    return [Input(name, f"{item.value:g}", item.kind, item.source) for name, item in rows]
