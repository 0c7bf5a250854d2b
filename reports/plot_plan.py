"""The pictures of a capacity plan. Each function draws one of a width in inches; None if there is nothing to show."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import cycle
from typing import TYPE_CHECKING

from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter, NullLocator

from hornet.capacity.fleet import Answer, HostsOfType
from hornet.capacity.guide_claim import VM_MEMORY_MIB, ClaimRow
from hornet.capacity.levers import Effect
from hornet.spec.targets import Metric
from reports.plot import plain_log_axis
from reports.style import (
    BLUE,
    FILLS,
    GREEN,
    GRID,
    INK,
    LINES,
    SKY,
    VERMILION,
    is_narrow,
    legend_below,
    name_rows,
    new_figure,
    title,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MARKERS = "os^DvP*X"
NAME_ABOVE = 0.5


def risk_curve(plan: Answer, width_in: float) -> Figure | None:
    """The risk of exceeding a host's memory over its VMs, with its interval; one axis per host type."""
    figure, axes = new_figure(width_in, [3.4] * len(plan.types))
    for axis, found in zip(axes, plan.types, strict=True):
        _risk_axis(axis, found, plan.scenario.risk)
        if len(plan.types) > 1:
            title(axis, width_in, found.host.name)
    return figure


def _risk_axis(axis: Axes, found: HostsOfType, risk: float) -> None:
    curve, memory = found.plan.memory.curve, found.plan.memory
    vms = [point.vms for point in curve]
    low, high = ([100 * value for value in values] for values in ([p.low for p in curve], [p.high for p in curve]))
    axis.fill_between(vms, low, high, color=SKY, alpha=0.35, linewidth=0)
    axis.plot(vms, [100 * point.risk for point in curve], color=BLUE, linewidth=2)
    axis.axhline(100 * risk, color=VERMILION, linewidth=1.2, linestyle=(0, (4, 3)))
    axis.plot(memory.vms, 100 * risk, marker="o", markersize=9, color=GREEN)
    # Right of the band and below the line of the risk there is nothing else.
    axis.annotate(
        f"{memory.vms:,} VMs",
        (max(memory.vms, memory.high), 100 * risk),
        (8, -6),
        textcoords="offset points",
        ha="left",
        va="top",
        color=INK,
    )
    axis.set_yscale("symlog", linthresh=max(0.1, 100 * risk))
    axis.set_ylim(0, 100)
    ticks = sorted({0.0, 100 * risk, 10.0, 100.0})
    axis.set_yticks(ticks, [f"{tick:g} %" for tick in ticks])
    axis.yaxis.set_minor_locator(NullLocator())
    axis.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    axis.margins(x=0.02)
    axis.set_xlabel("VMs per host, by memory alone")
    axis.set_ylabel("moments that exceed it")


def memory_parts(parts: Mapping[str, float], width_in: float) -> Figure | None:
    """Where a host's memory goes, one bar per part."""
    figure, (axis,) = new_figure(width_in, [_height(len(parts), width_in)])
    for y, amount in enumerate(parts.values()):
        axis.barh(y, amount / 1000, height=_thickness(width_in), color=BLUE, edgecolor="none")
        axis.annotate(f"{amount / 1000:.3g}", (amount / 1000, y), (6, 0), textcoords="offset points", va="center")
    _rows(axis, list(parts), width_in)
    axis.set_xlim(0, max(parts.values()) / 1000 * 1.2)
    axis.set_xlabel("GB")
    return figure


def bounds(found: HostsOfType, width_in: float) -> Figure | None:
    """VMs that each resource allows, the tightest on top."""
    rows = found.plan.bounds
    figure, (axis,) = new_figure(width_in, [_height(len(rows), width_in)])
    for y, bound in enumerate(rows):
        colour = (VERMILION, BLUE)[y] if y < 2 else SKY
        axis.barh(y, max(bound.vms, 0.5), height=_thickness(width_in), color=colour, edgecolor="none")
        axis.annotate(f"{bound.vms:,}", (max(bound.vms, 0.5), y), (6, 0), textcoords="offset points", va="center")
    axis.set_xscale("log")
    axis.set_xlim(0.5, max(row.vms for row in rows) * 12)
    axis.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    axis.xaxis.set_major_locator(LogLocator(numticks=3 if is_narrow(width_in) else 7))
    axis.xaxis.set_minor_formatter(NullFormatter())
    _rows(axis, [bound.title for bound in rows], width_in)
    axis.set_xlabel("VMs per host, logarithmic")
    return figure


def effects(found: Sequence[Effect], width_in: float) -> Figure | None:
    """How VMs per host change with each input, the largest swing on top."""
    if not found:
        return None
    figure, (axis,) = new_figure(width_in, [_height(len(found), width_in, each=0.55)])
    for y, effect in enumerate(found):
        ends = ((effect.low, effect.vms_at_low, -0.18, SKY), (effect.high, effect.vms_at_high, 0.18, BLUE))
        for value, vms, shift, colour in ends:
            if vms is None:
                continue
            axis.barh(y + shift, vms - effect.vms, left=effect.vms, height=0.3, color=colour, edgecolor="none")
            side = 1 if vms >= effect.vms else -1
            axis.annotate(
                f"{value:.3g}: {vms:,}",
                (vms, y + shift),
                (3 * side, 0),
                textcoords="offset points",
                va="center",
                ha="left" if side > 0 else "right",
                fontsize=8.5,
            )
    axis.axvline(found[0].vms, color=INK, linewidth=1)
    axis.margins(x=0.35)
    axis.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    _rows(axis, [effect.title for effect in found], width_in)
    axis.set_xlabel("VMs per host; upper bar: low value")
    return figure


def guide_claim(rows: Sequence[ClaimRow], density: Metric, width_in: float) -> Figure | None:
    """VMs on the guide's host over the memory of a VM, a line per tier and profile; the guide's range as a band."""
    groups: dict[tuple[str, str], list[ClaimRow]] = {}
    for row in rows:
        if row.vms:
            groups.setdefault((row.tier, row.profile), []).append(row)
    if not groups:
        return None
    figure, (axis,) = new_figure(width_in, [3.4 + 0.2 * len(groups)])
    axis.axhspan(density.target or 0, density.stretch or 0, color=GREEN, alpha=0.14, linewidth=0)
    styles = zip(cycle(FILLS), cycle(LINES), cycle(MARKERS), strict=False)
    for (key, found), (colour, line, marker) in zip(groups.items(), styles, strict=False):
        sizes, vms = [row.vm_memory_mib for row in found], [row.vms or 0 for row in found]
        axis.plot(sizes, vms, color=colour, linestyle=line, marker=marker, linewidth=1.8, label=": ".join(key))
    axis.set_xscale("log", base=2)
    axis.set_xticks(VM_MEMORY_MIB, [str(mib) for mib in VM_MEMORY_MIB])
    axis.xaxis.set_minor_locator(NullLocator())
    plain_log_axis(axis, "y")
    axis.grid(axis="y", color=GRID, linewidth=0.8)
    axis.set_xlabel("memory of a VM, MiB")
    axis.set_ylabel("VMs by memory alone")
    legend_below(axis, width_in)
    return figure


def _height(rows: int, width_in: float, each: float = 0.36) -> float:
    return 0.9 + (each + (0.2 if is_narrow(width_in) else 0)) * rows


def _thickness(width_in: float) -> float:
    return 0.4 if is_narrow(width_in) else 0.62


def _rows(axis: Axes, names: Sequence[str], width_in: float) -> None:
    name_rows(axis, names, width_in, above=NAME_ABOVE)
    axis.set_ylim(len(names) - 0.4, -0.9 if is_narrow(width_in) else -0.6)
