"""The latest runs of a metric as a small picture in a table's cell: one dot for each run, which leads to its report."""

from __future__ import annotations

from markupsafe import Markup, escape

from hornet.results.verdict import format_significant
from reports.summary import MetricRow

# In CSS pixels. Dots stay inside of the margin.
WIDTH, HEIGHT, MARGIN = 132, 34, 5


def sparkline(row: MetricRow) -> Markup:
    """SVG with the values over the runs, oldest first, and the target as a dashed line; empty for a single run."""
    points, target, unit = row.history, row.target, row.unit
    if len(points) < 2:
        return Markup("")
    values = [point.value for point in points]
    low, high = min([*values, target]), max([*values, target])
    span = high - low or 1.0
    xs = [MARGIN + (WIDTH - 2 * MARGIN) * place / (len(points) - 1) for place in range(len(points))]

    def y(value: float) -> float:
        return round(HEIGHT - MARGIN - (HEIGHT - 2 * MARGIN) * (value - low) / span, 1)

    line = " ".join(f"{x:.1f},{y(value)}" for x, value in zip(xs, values, strict=True))
    lowest, highest, latest = (format_significant(value) for value in (min(values), max(values), values[-1]))
    told = f"{len(points)} runs: {lowest} to {highest} {unit}, the latest {latest}; dashed: the target"
    parts = [
        f'<svg class="spark" role="img" aria-label="{escape(told)}" viewBox="0 0 {WIDTH} {HEIGHT}">',
        f'<line x1="0" x2="{WIDTH}" y1="{y(target)}" y2="{y(target)}" class="aim"/>',
        f'<polyline points="{line}"/>',
    ]
    for x, point in zip(xs, points, strict=True):
        words = f"{point.run}: {format_significant(point.value)} {unit}"
        parts.append(
            f'<a href="{escape(point.link)}"><title>{escape(words)}</title>'
            f'<circle cx="{x:.1f}" cy="{y(point.value)}" r="3"/></a>'
        )
    return Markup("".join([*parts, "</svg>"]))
