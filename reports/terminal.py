"""The verdict table for a terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table
from rich.text import Text

from hornet.verdict import readable
from reports.page import SIGNS
from reports.summary import MetricRow

STYLES = {"good": "green", "bad": "bold red", "open": "cyan"}


def as_table(rows: Sequence[MetricRow]) -> Table:
    """The target metrics, one row each, for rich's print; fits into 80 columns."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    for heading in ("Metric", "Ubuntu", "Target", "This run", "Verdict"):
        table.add_column(heading, justify="right" if heading in ("Ubuntu", "Target", "This run") else "left")
    for row in rows:
        tone, sign = SIGNS[row.verdict]
        bound = f"{'≤' if row.direction == 'lower' else '≥'} {row.target:g} {row.unit}"
        value = f"{readable(row.value, row.target)} {row.unit}" if row.value is not None else "–"
        name = f"{row.title}\n  {row.label}" if row.label else row.title
        table.add_row(name, row.baseline_quote, bound, value, Text(f"{sign} {row.verdict}", style=STYLES[tone]))
    return table
