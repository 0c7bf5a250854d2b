"""Runs as pandas data frames: one row for each sample, for notebooks, spreadsheets and one's own plots."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import pandas as pd

from hornet.results.records import Record
from hornet.results.run import Run

COLUMNS = ("run", "metric", "lane", "sample", "value", "unit", "direction")
# What names a record's own fields is told from its dimensions, parts and host.
PREFIXES = {"dimensions": "dim_", "parts": "part_", "host": "host_"}


def records_frame(runs: Iterable[Run]) -> pd.DataFrame:
    """Every sample of every record: one row each.

    Columns: run, metric, lane, sample (its number, from 0), value (in `unit`), unit, direction; then dim_* for the
    dimensions, part_* for the parts of the record's value, host_* for the host's fingerprint. A record without samples
    has one row with its value. Empty without records.
    """
    rows = [row for run in runs for record in run.records for row in _rows(run.name, record)]
    return pd.DataFrame(rows, columns=_columns(rows)).convert_dtypes()


def _rows(run: str, record: Record) -> Iterator[dict[str, Any]]:
    common: dict[str, Any] = {"run": run, "metric": record.name, "lane": record.lane}
    common |= {"unit": record.unit, "direction": record.direction}
    for field, prefix in PREFIXES.items():
        common |= {f"{prefix}{name}": value for name, value in (getattr(record, field) or {}).items()}
    for sample, value in enumerate(record.samples or [record.value]):
        yield {**common, "sample": sample, "value": value}


def _columns(rows: list[dict[str, Any]]) -> list[str]:
    return list(dict.fromkeys([*COLUMNS, *(name for row in rows for name in row)]))
