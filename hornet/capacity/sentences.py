"""A plan in sentences: the answer first, then what it rests on. None of them says more than the inputs do."""

from __future__ import annotations

from hornet.capacity.fleet import Answer, GuestFit, HostsOfType
from hornet.capacity.host_plan import Overflow, percent
from hornet.capacity.model import Scenario

# A risk below this is not shown in digits: the model's inputs are not known that well.
NEGLIGIBLE = 1e-9


def headline(plan: Answer) -> str:
    """The answer in one sentence, with hosts and spare."""
    scenario = plan.scenario
    agents = f"{scenario.agents:,} agents ({', '.join(dict.fromkeys(group.name for group in scenario.groups))})"
    hosts = " and ".join(_hosts(found) for found in plan.types if found.hosts)
    spare = sum(found.spare_vms for found in plan.types)
    if plan.unplaced:
        return f"{agents} do not fit: {plan.unplaced:,} are left over on {hosts or 'these hosts'}."
    return f"{agents} need {hosts}, with room for {spare:,} more{_spare(plan)}."


def _spare(plan: Answer) -> str:
    """What the plan has for lost hosts."""
    found = plan.spare
    if not found.wanted:
        return ", and no host to spare"
    if found.hosts < found.wanted:
        return f", and only {found.hosts:,} of {found.wanted:,} spare hosts"
    kind = f" ({found.host})" if len(plan.types) > 1 else ""
    if found.hosts == 1:
        return f", and 1 spare host{kind} in case one is lost"
    return f", and {found.hosts:,} spare hosts{kind} in case as many are lost"


def over_a_year(found: HostsOfType, scenario: Scenario) -> str:
    """The risk within a year, of the plan and as a demand."""
    year = found.year
    if not year.hosts:
        return "No agent runs on these hosts."
    hosts = "the host exceeds its" if year.hosts == 1 else f"any of {year.hosts:,} hosts exceeds its"
    risk = f"at most {percent(year.at_most)}" if year.at_most >= NEGLIGIBLE else "below one in a billion"
    return (
        f"Within a year: with {year.vms:,} VMs on a host, the risk that {hosts} memory is {risk}. For at most "
        f"{percent(scenario.risk)} in a year, memory allows {year.allowed:,} VMs per host (--over-year)."
    )


def _hosts(found: HostsOfType) -> str:
    host = found.host
    many = f"{found.hosts:,} host{'s' if found.hosts > 1 else ''}"
    return f"{many} of {host.memory_mb / 1000:g} GB and {host.cores:g} cores at {found.plan.vms:,} VMs each"


def binding(found: HostsOfType, scenario: Scenario) -> str:
    """What binds first and next on one host type, and what memory alone would hold."""
    first, following = found.plan.bounds[:2]
    text = (
        f"First bound: {first.title}, {first.vms:,} VMs per host ({first.reason}). "
        f"Next: {following.title}, {following.vms:,} ({following.reason})."
    )
    memory = found.plan.memory
    if first.name == "memory":
        return text
    needed = -(-scenario.agents // memory.vms) if memory.vms else None
    hosts = f": {needed:,} such hosts" if needed else ""
    return f"{text} By memory alone, a host holds {memory.vms:,} VMs at a risk of {percent(scenario.risk)}{hosts}."


def interval(found: HostsOfType) -> str:
    """The interval of the number that memory allows."""
    memory = found.plan.memory
    return (
        f"Memory: {memory.simulated:,} VMs by simulation of {memory.scenarios:,} moments (95 % interval {memory.low:,} "
        f"to {memory.high:,}, from the simulation and the measured memory of a VM), {memory.closed.normal:,} by normal "
        f"approximation. {memory.explanation}"
    )


def overflows(found: HostsOfType, scenario: Scenario) -> list[str]:
    """How the fullest host overflows, and one with as many VMs as memory allows, if those are others."""
    lines = at_overflow(found.overflow, scenario)
    more = found.memory_overflow.vms != found.overflow.vms
    return [*lines, *(at_overflow(found.memory_overflow, scenario) if more else [])]


def at_overflow(found: Overflow, scenario: Scenario) -> list[str]:
    """How often the fullest host exceeds its memory, and what happens then by policy."""
    if not found.risk:
        often = f"none of the simulated moments exceeds the memory: the risk is at most {percent(found.risk_at_most)}"
    elif scenario.kept:
        often = f"{percent(found.risk)} of the hosts exceed their memory before their VMs are replaced"
    else:
        often = (
            f"its memory is exceeded {percent(found.risk)} of the time: {found.seconds_per_day:,.0f} s a day, once in "
            f"{_time(found.hours_between)} on average if each time lasts as long as a burst"
        )
    lines = [f"With {found.vms:,} VMs on a host, {often}."]
    if not found.risk:
        return lines
    return [
        *lines,
        f"Then {found.mean_mb:,.0f} MB are missing on average, {found.p95_mb:,.0f} MB in the worst 5 %.",
        f"If bursts are held back: {max(1, round(found.waiting)):,} agents wait for one burst of another.",
        f"If the host swaps: it needs {found.p95_mb:,.0f} MB of swap, and agents wait for the disk.",
        f"If nothing is done: the kernel ends {found.killed:,.0f} VMs, with the work of their agents.",
    ]


def _time(hours: float | None) -> str:
    if hours is None:
        return "–"
    return f"{hours * 60:,.1f} minutes" if hours < 2 else f"{hours:,.1f} hours"


def guest_fit(fit: GuestFit, risk: float) -> str:
    """Whether the bursts of a group fit into their VM."""
    if not fit.share:
        return f"{fit.group}: every burst fits into a VM of {fit.vm_memory_mb:,.0f} MB."
    return (
        f"{fit.group}: {percent(fit.share)} of the bursts do not fit into a VM of {fit.vm_memory_mb:,.0f} MB: "
        f"{fit.per_day:,.3g} times a day, the guest ends the agent's process. For at most {percent(risk)}, give the VM "
        f"{fit.needed_mb:,.0f} MB."
    )


def other_way(plan: Answer) -> str:
    """The same plan under the other assumption of what happens to a burst's memory."""
    hosts = f"{plan.other.hosts:,}" if plan.other.hosts else "no number of"
    assumed = "kept by the VM" if plan.scenario.kept else "returned to the host"
    return (
        f"This assumes that a burst's memory is {assumed}. If the {plan.other.changes}: {hosts} hosts at "
        f"{plan.other.vms:,} VMs each (first bound: {plan.other.binding})."
    )


def rests_on(plan: Answer) -> str:
    """Why this is a plan."""
    if not plan.caveats:
        return "Every input was measured, published or given."
    return f"A plan, not a verdict. {'; '.join(plan.caveats)}."
