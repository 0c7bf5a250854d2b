"""Runs as pandas data frames: one row for each sample, for notebooks, spreadsheets and one's own plots."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from glob import glob
from pathlib import Path
from typing import Any

import pandas as pd

from hornet.errors import HostError
from hornet.results.benchmarks import SavedBenchmarks
from hornet.results.records import RECORDS_FILE, Record
from hornet.results.run import Run, load_run
from hornet.results.run_info import RUN_FILE

COLUMNS = (
    "run",
    "time",
    "commit",
    "metric",
    "lane",
    "session",
    "sample",
    "value",
    "unit",
    "direction",
    "failed_phase",
    "failure",
)
# What names a record's own fields is told from its dimensions, parts and host.
PREFIXES = {
    "dimensions": "dim_",
    "parts": "part_",
    "machine": "machine_",
    "subject": "subject_",
    "host": "host_",
    "noise": "noise_",
}


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

    Columns: run, time, commit, metric, lane, session, sample (its number, from 0), value (in `unit`), unit, direction,
    failed_phase, failure; then dim_* for the dimensions, part_* for the parts of the sample (of the record's value, if
    it has none for each sample), machine_* for the VM, subject_* for the hashes of what was measured, host_* for the
    host's fingerprint, noise_* for what else it did. A record without samples has one row with its value. A repetition
    that failed has a row without a value. Empty without records.
    """
    rows = [row for run in runs for record in run.records for row in _rows(run.name, record)]
    return pd.DataFrame(rows, columns=_columns(rows)).convert_dtypes()


def _rows(run: str, record: Record) -> Iterator[dict[str, Any]]:
    common: dict[str, Any] = {"run": run, "time": record.time, "commit": record.commit}
    common |= {"metric": record.name, "lane": record.lane, "unit": record.unit, "direction": record.direction}
    for field in PREFIXES:
        if not (field == "parts" and record.runs):
            common |= _prefixed(field, dict(getattr(record, field) or {}))
    failures = {failure.number: failure for failure in record.failures}
    values = iter(enumerate(record.samples or [record.value]))
    for number in range(len(record.samples or [record.value]) + len(failures)):
        place = {"sample": number, "session": record.sessions[number] if record.sessions else 0}
        if failure := failures.get(number):
            told = {"failed_phase": failure.phase, "failure": failure.reason}
            yield {**common, **told, **_prefixed("parts", failure.parts), **place}
        else:
            index, value = next(values)
            own = record.runs[index] if record.runs else {}
            yield {**common, **_prefixed("parts", own), **place, "value": value}


def _prefixed(field: str, values: Mapping[str, Any]) -> dict[str, Any]:
    return {f"{PREFIXES[field]}{name}": value for name, value in values.items()}


def _columns(rows: list[dict[str, Any]]) -> list[str]:
    return list(dict.fromkeys([*COLUMNS, *(name for row in rows for name in row)]))
