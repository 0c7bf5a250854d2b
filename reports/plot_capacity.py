"""VMs per host over what an agent's work adds to its VM."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import cycle
from typing import TYPE_CHECKING

from hornet.capacity.at_rest import Plan
from hornet.spec.targets import Metric
from reports.plot import lane_name, plain_log_axis
from reports.style import FILLS, GRID, INK, LINES, MUTED, is_narrow, legend_below, new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


HEIGHT_IN = 4.0
# Of a number beside its point: where it stands, above or below, and the height that it takes there.
LABEL_OFFSET_PT, LABEL_HEIGHT_PT = 6, 10
POINTS_PER_IN = 72


def capacity(plans: Sequence[Plan], available_mb: float, density: Metric | None, width_in: float) -> Figure | None:
    """One curve for each measured footprint; the guide's densities as lines across, named beside the axes."""
    if not plans:
        return None
    figure, (axis,) = new_figure(width_in, [HEIGHT_IN + 0.2 * len(plans)])
    widest_mb = max(work for plan in plans for work, _ in plan.vms) * 1.1 or 1
    steps_mb = [widest_mb * step / 200 for step in range(201)]
    for plan, colour, line in zip(plans, cycle(FILLS), cycle(LINES)):
        name = f"{lane_name(plan.lane)} {plan.label}"
        counts = [plan.footprint.vms_in(available_mb, work) for work in steps_mb]
        axis.plot(steps_mb, counts, color=colour, linewidth=2, linestyle=line, label=name)
        axis.plot(*zip(*plan.vms, strict=True), "o", color=colour)
    if density:
        _density_lines(axis, density)
    plain_log_axis(axis, "y")
    _numbers(axis, plans, _densities(density))
    axis.grid(axis="y", color=GRID, linewidth=0.8)
    axis.set_xlim(0, widest_mb)
    axis.margins(y=0.12)
    axis.set_xlabel(f"MB of private memory that {'' if is_narrow(width_in) else 'an agent’s '}work adds")
    axis.set_ylabel("VMs per host")
    legend_below(axis, width_in)
    return figure


def _numbers(axis: Axes, plans: Sequence[Plan], densities: Sequence[float]) -> None:
    """The number of VMs at each point: above it, or below it if a line or another curve's point is above it."""
    low, high = axis.get_ylim()
    # How many times as much one point of height is, on the logarithmic axis.
    per_pt = math.log(high / low) / (HEIGHT_IN * POINTS_PER_IN)
    near, far = LABEL_OFFSET_PT / 2 * per_pt, (LABEL_OFFSET_PT + LABEL_HEIGHT_PT) * per_pt
    for plan in plans:
        for work, count in plan.vms:
            others = [vms for other in plans if other is not plan for mb, vms in other.vms if mb == work]
            above = [math.log(it / count) for it in (*densities, *others) if it and count]
            crossed = any(near < distance < far for distance in above)
            free_below = not any(near < -distance < far for distance in above)
            y, align = (-LABEL_OFFSET_PT, "top") if crossed and free_below else (LABEL_OFFSET_PT, "bottom")
            axis.annotate(
                str(count), (work, count), (4, y), textcoords="offset points", va=align, fontsize=8.5, color=INK
            )


def _densities(density: Metric | None) -> list[float]:
    return [it for it in (density.baseline, density.target, density.stretch) if it] if density else []


def _density_lines(axis: Axes, density: Metric) -> None:
    """Named at the right of the axes: no curve runs through the name."""
    for name, count in (("Ubuntu", density.baseline), ("target", density.target), ("stretch", density.stretch)):
        if count:
            axis.axhline(count, color=MUTED, linewidth=1, linestyle=(0, (4, 3)))
            axis.annotate(
                f"{name}\n{count:g}",
                (1, count),
                (4, 0),
                xycoords=("axes fraction", "data"),
                textcoords="offset points",
                va="center",
                fontsize=8.5,
                color=MUTED,
            )
