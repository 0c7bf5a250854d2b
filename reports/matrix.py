"""The cells of a matrix as a table on the terminal: tiers and kernels down, lanes and lives across."""

from __future__ import annotations

from rich.table import Table
from rich.text import Text

from hornet.results.matrix import MatrixCell, MatrixFile
from reports.page import SIGNS
from reports.terminal import STYLES


def matrix_table(found: MatrixFile) -> Table:
    """One row for each tier and kernel, one column for each lane and life."""
    rows = dict.fromkeys((cell.tier, cell.kernel) for cell in found.cells)
    across = dict.fromkeys((cell.lane, cell.life) for cell in found.cells)
    cells = {(cell.tier, cell.kernel, cell.lane, cell.life): cell for cell in found.cells}
    table = Table("Tier", "Kernel", *(f"{lane}\n{life}" for lane, life in across), box=None, pad_edge=False)
    for row in rows:
        table.add_row(*row, *(_shown(cells[*row, *column]) for column in across))
    return table


def _shown(cell: MatrixCell) -> Text:
    tone, sign = SIGNS[cell.result]
    return Text(f"{sign} {cell.result}", style=STYLES[tone])
