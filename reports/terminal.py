"""Prints the verdicts on target metrics as a table on the terminal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from rich.table import Table
from rich.text import Text

from hornet.results.verdict import format_significant
from reports.page import SIGNS
from reports.summary import MetricRow

STYLES = {"good": "green", "bad": "bold red", "open": "cyan"}


def as_table(rows: Sequence[MetricRow]) -> Table:
    """The target metrics as a rich table, one row each; it fits into 80 columns."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    for heading in ("Metric", "Ubuntu", "Target", "This run", "Verdict"):
        side: Literal["left", "right"] = "left" if heading in ("Metric", "Verdict") else "right"
        table.add_column(heading, justify=side, no_wrap=True)
    for row in rows:
        tone, sign = SIGNS[row.verdict]
        value = f"{format_significant(row.value, row.target)} {row.unit}" if row.value is not None else "–"
        # One dimension per line: the table must stay narrow.
        name = "\n  ".join([row.title, *filter(None, row.label.split(", "))])
        table.add_row(
            name, row.baseline_text, row.target_text, value, Text(f"{sign} {row.verdict}", style=STYLES[tone])
        )
    return table
