"""One quantity over many runs: a dot for each run, which leads to its report, and a line for each level."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from hornet.results.compare import Change
from hornet.results.history import Series, link_to
from hornet.results.trend import ChangePoint
from reports.plot import lane_name
from reports.style import BLUE, GREEN, GRID, INK, MUTED, VERMILION, is_narrow, new_figure, title

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# A change has its number above the values.
ROOM_ABOVE = 1.25
HEIGHT_IN = 3.0
COLOURS = {Change.BETTER: GREEN, Change.WORSE: VERMILION}
SIGNS = {Change.BETTER: "✓", Change.WORSE: "✗"}


def trend(series: Series, changes: Sequence[ChangePoint], page: Path, heading: str, width_in: float) -> Figure | None:
    """The values of a series from the oldest run to the newest. page: the directory of the page, for links.

    A change has its number and sign above it, as in the table; a dotted line is a new subject.
    """
    if not series.points:
        return None
    figure, (axis,) = new_figure(width_in, [HEIGHT_IN])
    values = [point.value for point in series.points]
    dots = axis.scatter(range(len(values)), values, s=14, color=BLUE, linewidths=0, zorder=4)
    dots.set_urls([link_to(point.directory, page) for point in series.points])
    _levels(axis, values, changes)
    for place, (before, after) in enumerate(pairwise(series.points), 1):
        if before.subject != after.subject:
            axis.axvline(place - 0.5, color=MUTED, linewidth=0.8, linestyle=(0, (1, 3)), zorder=0)
    title(axis, width_in, heading, lane_name(series.lane))
    axis.set_ylabel(series.unit)
    axis.grid(axis="x", visible=False)
    axis.grid(axis="y", color=GRID, linewidth=0.8)
    axis.set_ylim(0, max(values) * ROOM_ABOVE or 1)
    shown = _places(len(values), 2 if is_narrow(width_in) else 5)
    axis.set_xticks(shown, _times([series.points[place].started for place in shown]))
    axis.set_xlabel("runs, oldest first")
    return figure


def _levels(axis: Axes, values: Sequence[float], changes: Sequence[ChangePoint]) -> None:
    bounds = [0, *(change.index for change in changes), len(values)]
    for first, last in pairwise(bounds):
        level = statistics.median_low(values[first:last])
        axis.plot([first - 0.4, last - 0.6], [level, level], color=INK, linewidth=1.6, zorder=3)
    for number, change in enumerate(changes, 1):
        axis.axvline(change.index - 0.5, color=COLOURS[change.change], linewidth=1.4, zorder=1)
        axis.annotate(
            f"{number}{SIGNS[change.change]}",
            (change.index - 0.5, 1),
            (3, -10),
            xycoords=("data", "axes fraction"),
            textcoords="offset points",
            fontsize=8.5,
            color=INK,
        )


def _times(started: Sequence[str]) -> list[str]:
    """Times in ISO 8601 as far as they differ: days, or, with several of one day, days and minutes."""
    days = [text[:10] for text in started]
    return days if len(set(days)) == len(days) else [text[5:16].replace("T", " ") for text in started]


def _places(count: int, most: int) -> list[int]:
    """At most `most` places of `count`, evenly spread, with the first and the last."""
    if count <= most:
        return list(range(count))
    return [round(step * (count - 1) / (most - 1)) for step in range(most)]
