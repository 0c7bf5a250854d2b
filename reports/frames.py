"""Runs as pandas data frames: one row for each sample, for notebooks, spreadsheets and one's own plots."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from glob import glob
from pathlib import Path
from typing import Any

import pandas as pd

from hornet.errors import HostError
from hornet.results.benchmarks import SavedBenchmarks
from hornet.results.records import RECORDS_FILE, Record
from hornet.results.run import Run, load_run
from hornet.results.run_info import RUN_FILE

COLUMNS = ("run", "metric", "lane", "sample", "value", "unit", "direction")
# What names a record's own fields is told from its dimensions, parts and host.
PREFIXES = {"dimensions": "dim_", "parts": "part_", "host": "host_"}


def samples_of(*paths: str | Path) -> pd.DataFrame:
    """Every sample of the runs at these paths, as in records_frame; `*` and `?` stand for any characters.

    Raises HostError if no run is there.
    """
    return records_frame(_loaded(paths))


def outcomes_of(*paths: str | Path) -> pd.DataFrame:
    """Every test of the runs at these paths: one row each, with run, test, result, reason, lane and duration_s.

    Raises HostError if no run is there.
    """
    fields = ("test", "result", "reason", "lane", "duration_s")
    rows = [
        {"run": run.name, **{name: getattr(case, name) for name in fields}}
        for run in _loaded(paths)
        for case in run.cases
    ]
    return pd.DataFrame(rows, columns=["run", *fields]).astype({"result": str}).convert_dtypes()


def _loaded(paths: Iterable[str | Path]) -> list[Run]:
    """The runs at these paths, each once. The benchmarks beside them are read once."""
    found = {Path(match).resolve() for path in paths for match in glob(str(path))}
    directories = sorted(path for path in found if (path / RECORDS_FILE).is_file() or (path / RUN_FILE).is_file())
    if not directories:
        named = ", ".join(map(str, paths))
        raise HostError(f"{named}: no run directory", "name directories such as .hornet/reports/2026*")
    saved = {parent: SavedBenchmarks(parent) for parent in {path.parent for path in directories}}
    return [load_run(path, saved[path.parent]) for path in directories]


def records_frame(runs: Iterable[Run]) -> pd.DataFrame:
    """Every sample of every record: one row each.

    Columns: run, metric, lane, sample (its number, from 0), value (in `unit`), unit, direction; then dim_* for the
    dimensions, part_* for the parts of the sample (of the record's value, if it has none for each sample), host_* for
    the host's fingerprint. A record without samples has one row with its value. Empty without records.
    """
    rows = [row for run in runs for record in run.records for row in _rows(run.name, record)]
    return pd.DataFrame(rows, columns=_columns(rows)).convert_dtypes()


def _rows(run: str, record: Record) -> Iterator[dict[str, Any]]:
    common: dict[str, Any] = {"run": run, "metric": record.name, "lane": record.lane}
    common |= {"unit": record.unit, "direction": record.direction}
    for field, prefix in PREFIXES.items():
        common |= {f"{prefix}{name}": value for name, value in (getattr(record, field) or {}).items()}
    for sample, value in enumerate(record.samples or [record.value]):
        own = record.runs[sample] if record.runs else {}
        yield {
            **common,
            **{f"{PREFIXES['parts']}{name}": part for name, part in own.items()},
            "sample": sample,
            "value": value,
        }


def _columns(rows: list[dict[str, Any]]) -> list[str]:
    return list(dict.fromkeys([*COLUMNS, *(name for row in rows for name in row)]))
