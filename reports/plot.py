"""The pictures of targets and components, and what all pictures share.

Each function takes plain data and a width in inches, and returns a figure, or None for nothing to show.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from hornet.results.records import Record
from hornet.results.verdict import Verdict, format_significant
from reports.style import GREEN, GRID, INK, MUTED, SKY, VERDICT_MARKS, is_narrow, name_rows, new_figure
from reports.summary import MetricRow

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def lane_name(lane: str | None) -> str:
    """A lane as pictures name it; empty for a property of a file."""
    return f"{lane} (emulated)" if lane and lane.endswith("/tcg") else lane or ""


def bar_name(record: Record) -> str:
    """What sets a bar apart from others of its name: lane and dimensions, a line each."""
    return "\n".join(filter(None, (lane_name(record.lane), record.label)))


def targets(rows: Sequence[MetricRow], width_in: float) -> Figure | None:
    """Every target metric on one axis: how many times its target it is, with the Ubuntu baseline beside it."""
    if not rows:
        return None
    narrow = is_narrow(width_in)
    figure, (axis,) = new_figure(width_in, [1.1 + (0.78 if narrow else 0.5) * len(rows)])
    shown = [_times_target(row, value) for row in rows for value in (row.baseline, row.value) if value]
    # A label is centred on its mark, so the outermost marks keep away from the edges.
    room = 4.0 if narrow else 1.7
    low, high = min([*shown, 0.4]) / room, max([*shown, 2.2]) * room
    axis.axvspan(low, 1, color=GREEN, alpha=0.09, linewidth=0)
    # In pieces: between the rows stand names and numbers.
    axis.vlines([1] * len(rows), [y - 0.2 for y in range(len(rows))], [y + 0.2 for y in range(len(rows))], color=GREEN)
    axis.set_xscale("log", base=2)
    axis.set_xlim(low, high)
    for y, row in enumerate(rows):
        _target_row(axis, y, row, narrow=narrow)
    axis.set_ylim(len(rows) - 0.4, -1.1)
    axis.xaxis.set_major_locator(LogLocator(base=4 if narrow else 2))
    axis.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}×"))
    axis.xaxis.set_minor_formatter(NullFormatter())
    name_rows(axis, [_row_name(row) for row in rows], width_in, above=0.44)
    axis.text(1, -0.85, "target met", ha="right", va="center", color=INK, fontsize=9)
    axis.set_xlabel("multiple of the target: left is better")
    return figure


def _times_target(row: MetricRow, value: float) -> float:
    return value / row.target if row.direction == "lower" else row.target / value


def _row_name(row: MetricRow) -> str:
    return "\n".join(filter(None, (row.title, row.label)))


def _target_row(axis: Axes, y: int, row: MetricRow, *, narrow: bool) -> None:
    base_x = _times_target(row, row.baseline)
    axis.plot(base_x, y, marker="D", markersize=7, markerfacecolor="none", markeredgecolor=MUTED)
    if not narrow:  # the name of the row is there
        _note(axis, (base_x, y), f"Ubuntu {row.baseline_text}", above=True)
    if row.value is None:
        _note(axis, (1, y), row.verdict, above=False)
        return
    x = _times_target(row, row.value) if row.value else axis.get_xlim()[0]
    marker, face, edge = VERDICT_MARKS[row.verdict]
    axis.plot([x, base_x], [y, y], color=GRID, linewidth=2, zorder=1)
    axis.plot(x, y, marker, markersize=10, markerfacecolor=face, markeredgecolor=edge, markeredgewidth=1.8)
    emulated = " emulated" if row.verdict is Verdict.EMULATED else ""
    _note(axis, (x, y), f"{format_significant(row.value, row.target)} {row.unit}{emulated}", above=False)


def _note(axis: Axes, point: tuple[float, float], text: str, *, above: bool) -> None:
    axis.annotate(
        text,
        point,
        (0, 8 if above else -8),
        textcoords="offset points",
        ha="center",
        va="bottom" if above else "top",
        color=MUTED if above else INK,
        fontsize=8.5,
    )


def components(sizes_mb: Mapping[str, float], guide_mb: Mapping[str, float], width_in: float) -> Figure | None:
    """Sizes of an image's components, biggest first, with the guide's own figure where it has that component."""
    if not sizes_mb:
        return None
    narrow = is_narrow(width_in)
    ordered = sorted(sizes_mb.items(), key=lambda item: -item[1])
    figure, (axis,) = new_figure(width_in, [0.9 + (0.5 if narrow else 0.3) * len(ordered)])
    half = 0.2 if narrow else 0.31
    for y, (name, size) in enumerate(ordered):
        axis.barh(y, size, height=2 * half, color=SKY, edgecolor="none")
        note = f"{size:.3g}"
        if name in guide_mb:
            axis.plot([guide_mb[name]] * 2, [y - half - 0.1, y + half + 0.1], color=INK, linewidth=2)
            note += f" (guide {guide_mb[name]:g})"
        end = max(size, guide_mb.get(name, 0))
        axis.annotate(note, (end, y), (6, 0), textcoords="offset points", va="center", fontsize=8.5)
    name_rows(axis, [name for name, _ in ordered], width_in, above=0.42)
    axis.set_ylim(len(ordered) - 0.4, -0.75)
    widest = max([*sizes_mb.values(), *(guide_mb[name] for name in sizes_mb if name in guide_mb)])
    axis.set_xlim(0, widest * (1.55 if narrow else 1.2))
    axis.set_xlabel("MB; dark tick: the guide's figure")
    return figure


def plain_log_axis(axis: Axes, which: str = "x") -> None:
    """A logarithmic axis with plain numbers at 1, 2 and 5."""
    (axis.set_xscale if which == "x" else axis.set_yscale)("log")
    chosen = axis.xaxis if which == "x" else axis.yaxis
    chosen.set_major_locator(LogLocator(subs=(1, 2, 5)))
    chosen.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    chosen.set_minor_formatter(NullFormatter())
