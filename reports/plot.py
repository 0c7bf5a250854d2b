"""The pictures of a report. Each function takes plain data and returns an SVG document, or None for nothing to show."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import cycle
from typing import TYPE_CHECKING

from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from hornet.results.density import Plan
from hornet.results.records import Record
from hornet.results.verdict import Verdict, format_significant
from hornet.spec.targets import Metric
from reports.style import BLUE, GREEN, GRID, INK, MUTED, PARTS, SKY, VERDICT_MARKS, new_figure, to_svg
from reports.summary import MetricRow

if TYPE_CHECKING:
    from matplotlib.axes import Axes

WIDTH_IN = 9.6
GOLDEN_RATIO = 0.618034


def targets(rows: Sequence[MetricRow]) -> str | None:
    """Every target metric on one axis: how many times its target it is, with the Ubuntu baseline beside it."""
    if not rows:
        return None
    figure, (axis,) = new_figure(WIDTH_IN, 1.1 + 0.5 * len(rows))
    shown = [_times_target(row, value) for row in rows for value in (row.baseline, row.value) if value]
    # A label is centred on its mark, so the outermost marks keep away from the edges.
    low, high = min([*shown, 0.4]) / 1.6, max([*shown, 2.2]) * 1.6
    axis.axvspan(low, 1, color=GREEN, alpha=0.09, linewidth=0)
    axis.axvline(1, color=GREEN, linewidth=1.4)
    for y, row in enumerate(rows):
        _target_row(axis, y, row)
    axis.set_xscale("log", base=2)
    axis.set_xlim(low, high)
    axis.set_ylim(len(rows) - 0.4, -0.9)
    axis.xaxis.set_major_locator(LogLocator(base=2))
    axis.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}×"))
    axis.xaxis.set_minor_formatter(NullFormatter())
    axis.set_yticks(range(len(rows)), [_row_name(row) for row in rows])
    axis.text(1, -0.62, "target ", ha="right", va="center", color=GREEN, fontsize=9)
    axis.set_xlabel("multiple of the target: further left is better")
    return to_svg(figure)


def _times_target(row: MetricRow, value: float) -> float:
    return value / row.target if row.direction == "lower" else row.target / value


def _row_name(row: MetricRow) -> str:
    return f"{row.title}\n{row.label}" if row.label else row.title


def _target_row(axis: Axes, y: int, row: MetricRow) -> None:
    base_x = _times_target(row, row.baseline)
    axis.plot(base_x, y, marker="D", markersize=7, markerfacecolor="none", markeredgecolor=MUTED)
    axis.annotate(
        f"Ubuntu {row.baseline_text}",
        (base_x, y),
        (0, 8),
        textcoords="offset points",
        ha="center",
        color=MUTED,
        fontsize=8,
    )
    if row.value is None:
        axis.annotate(row.verdict, (1, y), (6, 0), textcoords="offset points", va="center", color=MUTED, fontsize=8)
        return
    x = _times_target(row, row.value) if row.value else axis.get_xlim()[0]
    marker, face, edge = VERDICT_MARKS[row.verdict]
    axis.plot([x, base_x], [y, y], color=GRID, linewidth=2, zorder=1)
    axis.plot(
        x,
        y,
        marker=marker,
        markersize=10,
        markerfacecolor=face,
        markeredgecolor=edge,
        markeredgewidth=1.8,
        linestyle="none",
    )
    emulated = " emulated" if row.verdict is Verdict.EMULATED else ""
    note = f"{format_significant(row.value, row.target)} {row.unit}{emulated}"
    axis.annotate(note, (x, y), (0, -9), textcoords="offset points", ha="center", va="top", color=INK, fontsize=8.5)


def parts(records: Sequence[Record], unit: str, titles: Mapping[str, str]) -> str | None:
    """Records of a unit that have parts, as stacked bars: one axis per name, one bar per lane and dimensions."""
    groups: dict[str, list[Record]] = {}
    for record in records:
        if record.parts and record.unit == unit:
            groups.setdefault(record.name, []).append(record)
    if not groups:
        return None
    names = list(dict.fromkeys(part for found in groups.values() for record in found for part in record.parts))
    colours = {name: PARTS[index % len(PARTS)] for index, name in enumerate(names)}
    # The legend needs a line per part, each bar half an inch.
    heights = [max(0.9 + 0.5 * len(found), 0.45 + 0.2 * len(found[0].parts)) for found in groups.values()]
    figure, axes = new_figure(WIDTH_IN, sum(heights) + 0.3, len(groups), heights)
    for axis, (name, found) in zip(axes, groups.items(), strict=True):
        _stacked_bars(axis, found, colours)
        axis.set_title(titles.get(name, name), loc="left", fontsize=10.5, fontweight="bold")
        axis.set_xlabel(unit)
    return to_svg(figure)


def _stacked_bars(axis: Axes, records: Sequence[Record], colours: Mapping[str, str]) -> None:
    names = dict.fromkeys(part for record in records for part in record.parts)
    longest = max(record.value for record in records) or 1
    for y, record in enumerate(records):
        left = 0.0
        for name, amount in record.parts.items():
            axis.barh(y, amount, left=left, height=0.56, color=colours[name], edgecolor="none")
            left += amount
        axis.annotate(
            f"{format_significant(record.value)} {record.unit}",
            (left, y),
            (5, 0),
            textcoords="offset points",
            va="center",
        )
    axis.set_yticks(range(len(records)), [_bar_name(record) for record in records])
    axis.set_ylim(len(records) - 0.5, -0.5)
    axis.set_xlim(0, longest * 1.2)
    handles = [axis.barh(0, 0, color=colours[name], label=name.removesuffix("_ms").replace("_", " ")) for name in names]
    axis.legend(
        handles=handles, loc="upper left", bbox_to_anchor=(1.0, 1.05), frameon=False, fontsize=8.5, handlelength=1
    )


def _bar_name(record: Record) -> str:
    lane = _lane_name(record.lane)
    return f"{lane}\n{record.label}" if record.label else lane


def _lane_name(lane: str | None) -> str:
    return f"{lane} (emulated)" if lane and lane.endswith("/tcg") else lane or ""


def components(sizes_mb: Mapping[str, float], guide_mb: Mapping[str, float]) -> str | None:
    """Sizes of an image's components, biggest first, with the guide's own figure where it has that component."""
    if not sizes_mb:
        return None
    ordered = sorted(sizes_mb.items(), key=lambda item: -item[1])
    figure, (axis,) = new_figure(WIDTH_IN, 0.9 + 0.3 * len(ordered))
    for y, (name, size) in enumerate(ordered):
        axis.barh(y, size, height=0.62, color=SKY, edgecolor="none")
        note = f"{size:.3g}"
        if name in guide_mb:
            axis.plot([guide_mb[name]] * 2, [y - 0.42, y + 0.42], color=INK, linewidth=2)
            note += f"  (guide {guide_mb[name]:g})"
        axis.annotate(
            note, (max(size, guide_mb.get(name, 0)), y), (6, 0), textcoords="offset points", va="center", fontsize=8.5
        )
    axis.set_yticks(range(len(ordered)), [name for name, _ in ordered])
    axis.set_ylim(len(ordered) - 0.4, -0.6)
    axis.set_xlim(0, max([*sizes_mb.values(), *(guide_mb[name] for name in sizes_mb if name in guide_mb)]) * 1.2)
    axis.set_xlabel("MB; the dark tick is the guide's figure for the same component")
    return to_svg(figure)


def capacity(plans: Sequence[Plan], available_mb: float, density: Metric | None) -> str | None:
    """VMs per host over what an agent's work adds to its VM; the guide's densities as lines across."""
    if not plans:
        return None
    figure, (axis,) = new_figure(WIDTH_IN, 3.6)
    widest_mb = max(work for plan in plans for work, _ in plan.vms) * 1.15 or 1
    steps_mb = [widest_mb * step / 200 for step in range(201)]
    for plan, colour in zip(plans, cycle(PARTS)):
        axis.plot(steps_mb, [plan.footprint.vms_in(available_mb, work) for work in steps_mb], color=colour, linewidth=2)
        axis.plot(*zip(*plan.vms, strict=True), "o", color=colour, label=f"{_lane_name(plan.lane)} {plan.label}")
        for work, count in plan.vms:
            axis.annotate(str(count), (work, count), (5, 5), textcoords="offset points", fontsize=8.5, color=INK)
    if density:
        _density_lines(axis, density)
    axis.set_yscale("log")
    axis.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.yaxis.set_minor_formatter(NullFormatter())
    axis.grid(axis="y", color=GRID, linewidth=0.8)
    axis.set_xlim(0, widest_mb)
    axis.set_xlabel("MB of private memory that an agent's work adds to its VM")
    axis.set_ylabel("VMs per host")
    axis.legend(frameon=False, fontsize=8.5, loc="upper right")
    return to_svg(figure)


def _density_lines(axis: Axes, density: Metric) -> None:
    for name, count in (("Ubuntu", density.baseline), ("target", density.target), ("stretch", density.stretch)):
        if count:
            axis.axhline(count, color=MUTED, linewidth=1, linestyle=(0, (4, 3)))
            axis.annotate(
                f"{name} {count:g}",
                (1, count),
                (-4, 3),
                xycoords=("axes fraction", "data"),
                textcoords="offset points",
                ha="right",
                fontsize=8.5,
                color=MUTED,
            )


def distributions(records: Sequence[Record], baseline: Sequence[Record], titles: Mapping[str, str]) -> str | None:
    """Every sample as a dot and the median as a tick, one row per record; the baseline's below it in grey."""
    old = {record.identity: record for record in baseline}
    by_unit: dict[str, list[Record]] = {}
    for record in records:
        if len(record.samples) > 1:
            by_unit.setdefault(record.unit, []).append(record)
    if not by_unit:
        return None
    heights = [0.8 + 0.55 * len(found) for found in by_unit.values()]
    figure, axes = new_figure(WIDTH_IN, sum(heights), len(by_unit), heights)
    for axis, (unit, found) in zip(axes, by_unit.items(), strict=True):
        for y, record in enumerate(found):
            _strip(axis, y, record.samples, record.value, BLUE)
            if record.identity in old:
                _strip(axis, y + 0.36, old[record.identity].samples, old[record.identity].value, MUTED)
        _value_axis(axis, [sample for record in found for sample in record.samples])
        axis.set_yticks(
            range(len(found)),
            ["\n".join(filter(None, (titles.get(r.name, r.name), r.lane, r.label))) for r in found],
            fontsize=8.5,
        )
        axis.set_ylim(len(found) - 0.35, -0.55)
        axis.set_xlabel(unit)
    return to_svg(figure)


def _strip(axis: Axes, y: float, samples: Sequence[float], median: float, colour: str) -> None:
    # A fixed spread instead of a random one: the same samples make the same picture.
    offsets = [((index * GOLDEN_RATIO) % 1 - 0.5) * 0.24 for index in range(len(samples))]
    axis.scatter(samples, [y + offset for offset in offsets], s=16, color=colour, alpha=0.45, linewidths=0)
    axis.plot([median] * 2, [y - 0.2, y + 0.2], color=colour, linewidth=2.5)


def _value_axis(axis: Axes, samples: Sequence[float]) -> None:
    """Logarithmic where values differ by more than a factor of ten, else from zero."""
    if min(samples) > 0 and max(samples) / min(samples) > 10:
        axis.set_xscale("log")
        axis.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axis.xaxis.set_minor_formatter(NullFormatter())
    else:
        axis.set_xlim(0, max(samples) * 1.08 or 1)
