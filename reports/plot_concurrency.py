"""Restores at once: how many a second, and how long one takes."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import cycle
from typing import TYPE_CHECKING

from hornet.results.records import Record
from reports.plot import lane_name
from reports.style import FILLS, GRID, LINES, legend_below, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

THROUGHPUT, LATENCY = "restores_per_second", "restore_at_once"
PANEL_HEIGHT_IN = 2.6


def with_levels(records: Sequence[Record], name: str) -> dict[str, list[Record]]:
    """The records of a measurement by lane and kind of snapshots, in the order of the number at once."""
    found: dict[str, list[Record]] = {}
    for record in records:
        if record.name == name and isinstance(record.dimensions.get("at_once"), int):
            key = f"{lane_name(record.lane)} {record.dimensions.get('snapshots', '')}".strip()
            found.setdefault(key, []).append(record)
    return {key: sorted(of_key, key=_at_once) for key, of_key in found.items()}


def _at_once(record: Record) -> int:
    return int(record.dimensions["at_once"])


def concurrency(records: Sequence[Record], width_in: float) -> Figure | None:
    """One curve for each kind of snapshots: restores a second, and below the median and the slowest restore."""
    throughput, latency = (with_levels(records, name) for name in (THROUGHPUT, LATENCY))
    if not throughput or not latency:
        return None
    figure, (above, below) = new_figure(width_in, [PANEL_HEIGHT_IN, PANEL_HEIGHT_IN + 0.2 * len(latency)])
    for (name, of_name), colour, line in zip(throughput.items(), cycle(FILLS), cycle(LINES)):
        levels = [_at_once(record) for record in of_name]
        above.plot(levels, [record.value for record in of_name], "o", color=colour, linestyle=line, label=name)
    for (name, of_name), colour, line in zip(latency.items(), cycle(FILLS), cycle(LINES)):
        levels = [_at_once(record) for record in of_name]
        below.plot(levels, [record.value for record in of_name], "o", color=colour, linestyle=line, label=name)
        slowest = [max(record.samples, default=record.value) for record in of_name]
        below.plot(levels, slowest, "^", color=colour, linestyle="none")
    above.set_ylabel("restores a second")
    below.set_ylabel("ms: ● median, ▲ slowest")
    below.set_xlabel("restores at once")
    for axis in (above, below):
        axis.set_xscale("log", base=2)
        axis.xaxis.set_major_formatter("{x:g}")
        axis.set_ylim(bottom=0)
        axis.grid(axis="y", color=GRID, linewidth=0.8)
    legend_below(below, width_in)
    return figure
