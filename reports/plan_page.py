"""Writes a capacity plan as one self-contained page."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from hornet.capacity import sentences
from hornet.capacity.fleet import Answer
from hornet.capacity.guide_claim import ClaimRow
from hornet.errors import HostError
from hornet.host.durable import write_file
from hornet.spec.targets import Metric
from reports import plot_plan
from reports.page import render
from reports.pictures import Picture, picture
from reports.plan_tables import KNOWN, tables


def write_plan_page(path: Path, plan: Answer, claim: Sequence[ClaimRow], density: Metric) -> None:
    """Write the page, completely or not at all. Raises HostError if it cannot be written."""
    page = render(
        "plan.html.j2",
        {},
        headline=sentences.headline(plan),
        rests_on=sentences.rests_on(plan),
        lines=_lines(plan),
        pictures=_pictures(plan, claim, density),
        tables=tables(plan, claim),
        known=KNOWN,
    )
    try:
        write_file(path, page)
    except OSError as error:
        raise HostError(f"{path}: {error.strerror}", "name a file in a directory that you may write") from error


def _lines(plan: Answer) -> list[str]:
    lines = []
    for found in plan.types:
        lines += [sentences.binding(found, plan.scenario), sentences.interval(found)]
        lines.append(" ".join(sentences.overflows(found, plan.scenario)))
        lines.append(sentences.over_a_year(found, plan.scenario))
    fits = [sentences.guest_fit(fit, plan.scenario.risk) for fit in plan.guests]
    return [*lines, sentences.other_way(plan), *fits]


def _pictures(plan: Answer, claim: Sequence[ClaimRow], density: Metric) -> list[Picture]:
    first = plan.types[0]
    drawn = [
        picture(
            "risk",
            "Risk by VMs per host",
            "The share of moments in which the host's memory is exceeded. The band is the 95 % interval of the "
            "measured memory of a VM, the dashed line the given risk, the dot what the plan takes for memory.",
            partial(plot_plan.risk_curve, plan),
        ),
        picture(
            "bounds",
            f"What bounds the VMs of a host{f': {first.host.name}' if len(plan.types) > 1 else ''}",
            "The first bar binds, the second would bind next.",
            partial(plot_plan.bounds, first),
        ),
        picture(
            "parts",
            "Where a host's memory goes",
            f"The fullest host, with {first.overflow.vms:,} VMs, on average.",
            partial(plot_plan.memory_parts, plan.parts),
        ),
        picture(
            "effects",
            "What matters most",
            f"VMs of a host by memory and processors ({first.plan.vms:,} at the line), if one input is 20 % lower or "
            "higher (correlation: 0 or 0.3).",
            partial(plot_plan.effects, plan.sensitivity.together),
        ),
        picture(
            "claim",
            f"The guide's {density.target:g} to {density.stretch:g} VMs per 16 GB",
            "VMs on the guide's host, by memory alone. The green band is the guide's range.",
            partial(plot_plan.guide_claim, claim, density),
        ),
    ]
    return [found for found in drawn if found]
