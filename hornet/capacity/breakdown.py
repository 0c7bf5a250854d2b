"""Where the memory of a host goes with a given number of VMs, on average."""

from __future__ import annotations

from collections.abc import Callable

from hornet.capacity.closed_form import moments
from hornet.capacity.model import Group, Scenario


def breakdown(scenario: Scenario, vms: int) -> dict[str, float]:
    """MB by part, disjoint, in the order of the model. Their sum is the host's memory if the VMs fit on average."""
    weights = scenario.weights

    def each(amount: Callable[[Group], float]) -> float:
        return vms * float(weights @ [amount(group) for group in scenario.groups])

    parts = {
        "host's reserve": scenario.host.reserved_mb,
        "shared once": scenario.shared_mb,
        "VMM and guest": each(lambda group: group.footprint.private_mb),
        "agent at rest": each(lambda group: group.profile.idle_mb),
        "guest's page cache": each(lambda group: group.page_cache_mb),
    }
    others_mb = vms * scenario.rest_mb - sum(list(parts.values())[2:])
    parts["network, kernel, page tables, disk cache"] = others_mb
    parts["bursts, on average"] = vms * (moments(scenario).mean_mb - scenario.rest_mb)
    parts["free on average, for bursts at once"] = max(0.0, scenario.host.memory_mb - sum(parts.values()))
    return {name: amount for name, amount in parts.items() if amount > 0}
