"""What a value is made of: phases of a time as a waterfall, memory and instructions as stacked bars."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from hornet.results.records import Record
from hornet.results.verdict import format_significant
from reports.plot import bar_name, lane_name
from reports.style import FILLS, HATCHES, INK, Fill, fills, is_narrow, legend_below, name_rows, new_figure, title

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MEMORY_UNIT, INSTRUCTIONS_UNIT = "MB", "M instructions"
STACKED_UNITS = (MEMORY_UNIT, INSTRUCTIONS_UNIT)


def part_name(name: str) -> str:
    """A part in words: `first_reply_ms` is `first reply`."""
    return name.removesuffix("_ms").replace("_", " ")


def with_parts(records: Sequence[Record], unit: str | None = None) -> list[Record]:
    """The records that have parts: those in `unit`, else those that are drawn as a waterfall."""
    found = [record for record in records if record.parts]
    return [record for record in found if (record.unit == unit if unit else record.unit not in STACKED_UNITS)]


def waterfall(records: Sequence[Record], titles: Mapping[str, str], width_in: float) -> Figure | None:
    """Times by phase: a row for each phase, which begins where the one before ended. A panel for each name and lane."""
    panels: dict[tuple[str, str | None, str], list[Record]] = {}
    for record in with_parts(records):
        panels.setdefault((record.name, record.lane, record.unit), []).append(record)
    if not panels:
        return None
    heights = [_panel_height(found, width_in) for found in panels.values()]
    figure, axes = new_figure(width_in, heights)
    for axis, ((name, lane, unit), found) in zip(axes, panels.items(), strict=True):
        title(axis, width_in, titles.get(name, name), lane_name(lane))
        axis.set_xlabel(unit)
        _falls(axis, found, width_in)
    return figure


def _panel_height(records: Sequence[Record], width_in: float) -> float:
    row = 0.14 + 0.17 * len(records) + (0.2 if is_narrow(width_in) else 0)
    return 1.0 + row * len(_phases(records)) + (0.22 * len(records) if len(records) > 1 else 0)


def _phases(records: Sequence[Record]) -> list[str]:
    return list(dict.fromkeys(phase for record in records for phase in record.parts))


def _falls(axis: Axes, records: Sequence[Record], width_in: float) -> None:
    narrow, phases = is_narrow(width_in), _phases(records)
    # The part of a row that bars take; in a narrow picture the name of the row is above them.
    thick = (0.5 if narrow else 0.78) / len(records)
    longest = max(record.value for record in records) or 1
    for place, record in enumerate(records):
        fill, left = Fill(FILLS[place % len(FILLS)], HATCHES[place % len(HATCHES)]), 0.0
        for phase, amount in record.parts.items():
            y = phases.index(phase) + (place - (len(records) - 1) / 2) * thick + (0.14 if narrow else 0)
            _bar(axis, y, amount, left, thick * 0.86, fill)
            left += amount
            text = format_significant(amount)
            axis.annotate(text, (left, y), (4, 0), textcoords="offset points", va="center", fontsize=8, color=INK)
        _bar(axis, 0, 0, 0, 0, fill, _total(record))
    name_rows(axis, [part_name(phase) for phase in phases], width_in, above=0.3)
    axis.set_ylim(len(phases) - 0.45, -0.55)
    axis.set_xlim(0, longest * (1.25 if narrow else 1.12))
    legend_below(axis, width_in)


def _bar(axis: Axes, y: float, amount: float, left: float, height: float, fill: Fill, label: str = "") -> None:
    """A bar, and a tick where it begins, so that the shortest one is seen. The edge has the colour of the hatching."""
    colour = fill.colour
    axis.barh(
        y, amount, left=left, height=height, color=colour, hatch=fill.hatch, edgecolor="white", linewidth=0, label=label
    )
    axis.vlines(left, y - height / 2, y + height / 2, color=colour, linewidth=1.2)


def _total(record: Record) -> str:
    return f"{record.label + ': ' if record.label else ''}{format_significant(record.value)} {record.unit} in all"


def stacked(records: Sequence[Record], titles: Mapping[str, str], unit: str, width_in: float) -> Figure | None:
    """Memory by mapping, instructions by phase: a bar for each lane and dimensions, a panel for each name."""
    panels: dict[str, list[Record]] = {}
    for record in with_parts(records, unit):
        panels.setdefault(record.name, []).append(record)
    if not panels:
        return None
    narrow = is_narrow(width_in)
    heights = [1.2 + (0.66 if narrow else 0.5) * len(found) + (0.3 if narrow else 0) for found in panels.values()]
    figure, axes = new_figure(width_in, heights)
    for axis, (name, found) in zip(axes, panels.items(), strict=True):
        title(axis, width_in, titles.get(name, name))
        axis.set_xlabel(unit)
        _stacks(axis, found, width_in)
    return figure


def _stacks(axis: Axes, records: Sequence[Record], width_in: float) -> None:
    narrow, look = is_narrow(width_in), fills(name for record in records for name in record.parts)
    for y, record in enumerate(records):
        left = 0.0
        for name, amount in record.parts.items():
            fill = look[name]
            _bar(axis, y, amount, left, 0.4, fill)
            left += amount
        text = format_significant(record.value)
        axis.annotate(text, (left, y), (5, 0), textcoords="offset points", va="center")
    name_rows(axis, [bar_name(record) for record in records], width_in, above=0.42)
    axis.set_ylim(len(records) - 0.6, -0.7)
    axis.set_xlim(0, (max(record.value for record in records) or 1) * (1.4 if narrow else 1.15))
    for name, fill in look.items():
        _bar(axis, 0, 0, 0, 0, fill, part_name(name))
    legend_below(axis, width_in, 2 if narrow else 4)
