"""Every sample: empirical distributions (ECDF), a panel for each quantity and lane."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import TYPE_CHECKING

from hornet.results.compare import percentile
from hornet.results.records import Record
from hornet.results.verdict import format_significant
from reports.plot import lane_name, plain_log_axis
from reports.style import FILLS, GRID, LINES, MUTED, NARROW_IN, is_narrow, legend_below, new_figure, shortened, title

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Shares with a line across.
LEVELS = {0.5: "50 %", 0.9: "90 %", 0.99: "99 %"}
# Above this factor between samples an axis is logarithmic.
WIDE_RANGE = 10


def ecdf(
    records: Sequence[Record], baseline: Sequence[Record], titles: Mapping[str, str], width_in: float
) -> Figure | None:
    """The share of samples at or below a value, one curve for each set of dimensions; the baseline's in grey.

    A panel has one quantity, one unit and one lane. The legend has the number of samples of each curve and its median,
    and the 90th and 99th percentile where there are enough samples.
    """
    old: dict[Hashable, Record] = {record.identity: record for record in baseline if len(record.samples) > 1}
    panels: dict[tuple[str, str | None, str], list[Record]] = {}
    for record in records:
        if len(record.samples) > 1:
            panels.setdefault((record.name, record.lane, record.unit), []).append(record)
    if not panels:
        return None
    narrow = is_narrow(width_in)
    lines = {key: len(found) + sum(it.identity in old for it in found) for key, found in panels.items()}
    figure, axes = new_figure(width_in, [2.35 + 0.2 * lines[key] * (2 if narrow else 1) for key in panels])
    for axis, ((name, lane, unit), found) in zip(axes, panels.items(), strict=True):
        title(axis, width_in, titles.get(name, name), lane_name(lane))
        axis.set_xlabel(unit)
        _curves(axis, found, old, width_in)
    return figure


def _curves(axis: Axes, records: Sequence[Record], old: Mapping[Hashable, Record], width_in: float) -> None:
    narrow = is_narrow(width_in)
    drawn = [sample for record in records for sample in record.samples]
    for place, record in enumerate(records):
        style = LINES[place % len(LINES)]
        before = old.get(record.identity)
        if before and before.unit == record.unit:
            label = _label(before, narrow=narrow, prefix="baseline: ")
            drawn += before.samples
            axis.ecdf(before.samples, color=MUTED, linestyle=style, linewidth=1.4, label=label)
        colour = FILLS[place % len(FILLS)]
        axis.ecdf(record.samples, color=colour, linestyle=style, linewidth=2, label=_label(record, narrow=narrow))
    for level in LEVELS:
        axis.axhline(level, color=GRID, linewidth=0.8, zorder=0)
    # 99 % would be drawn over 90 % and 100 %: its line has no label.
    axis.set_yticks([0, 0.5, 0.9], ["0", "50 %", "90 %"])
    axis.set_ylim(0, 1.04)
    _value_axis(axis, drawn)
    legend_below(axis, width_in)


def _label(record: Record, *, narrow: bool, prefix: str = "") -> str:
    ordered = sorted(record.samples)
    facts = [f"n = {len(ordered)}", f"median {format_significant(record.value)}"]
    for percent in (90, 99):
        found = percentile(ordered, percent)
        facts += [] if found is None else [f"p{percent} {format_significant(found)}"]
    name = f"{prefix}{record.label or 'samples'}"
    return (
        f"{name if narrow else shortened(name, NARROW_IN)}{chr(10) if narrow else ': '}{', '.join(facts)} {record.unit}"
    )


def _value_axis(axis: Axes, samples: Sequence[float]) -> None:
    """Logarithmic where values differ by a large factor, else from zero."""
    if min(samples) > 0 and max(samples) / min(samples) > WIDE_RANGE:
        plain_log_axis(axis)
    else:
        axis.set_xlim(0, max(samples) * 1.08 or 1)
