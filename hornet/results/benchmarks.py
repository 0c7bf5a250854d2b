"""Records from the files that pytest-benchmark saves (`--benchmark-autosave`).

`extra_info` of a benchmark names what it measured: run (name of the run directory), lane, host, and optionally metric
and dimensions. pytest-benchmark stores seconds, records store milliseconds.
"""

from __future__ import annotations

import statistics
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from hornet.foreign_file import ForeignFileError, first_problem, read_json
from hornet.results.records import Dimensions, Record

MS_PER_S = 1000.0
# A file with --benchmark-save-data and some thousand measurements has some hundred KiB.
MAX_BENCHMARKS_BYTES = 64 << 20
# pytest-benchmark's storage, beside the run directories: shared by all runs so that it can compare them.
BENCHMARKS_DIRECTORY = "benchmarks"


class SavedBenchmarks:
    """Every saved benchmark beside the runs of one directory, by run. Each file is read once, however many runs are.

    problems: one sentence for each file that cannot be read or is not a saved file of pytest-benchmark.
    """

    def __init__(self, reports: Path) -> None:
        self.problems: list[str] = []
        self._records: dict[str, list[Record]] = {}
        for path in sorted((reports / BENCHMARKS_DIRECTORY).glob("**/*.json")):
            try:
                found = read_benchmarks(path)
            except ForeignFileError as error:
                self.problems.append(error.message)
            else:
                for run, records in found.items():
                    self._records.setdefault(run, []).extend(records)

    def of(self, run: str) -> list[Record]:
        """The records of a run; empty if none were saved."""
        return self._records.get(run, [])


def read_benchmarks(path: Path) -> dict[str, list[Record]]:
    """The benchmarks of a saved file by run. What names no run is left out.

    Raises ForeignFileError for anything that is not a saved file of pytest-benchmark.
    """
    try:
        return parse_benchmarks(read_json(path, MAX_BENCHMARKS_BYTES))
    except ValidationError as error:
        raise ForeignFileError(
            f"{path.name}: not a saved pytest-benchmark file: {first_problem(error)}", "delete it"
        ) from error


def parse_benchmarks(saved: object) -> dict[str, list[Record]]:
    """The benchmarks among those saved, as parsed from JSON, by run. Raises ValidationError."""
    found: dict[str, list[Record]] = {}
    for entry in _Saved.model_validate(saved).benchmarks:
        run = _run_of(entry)
        if isinstance(run, str):
            found.setdefault(run, []).append(_record(_Benchmark.model_validate(entry)))
    return found


class _Info(BaseModel):
    """The `extra_info` of the suite's benchmarks."""

    metric: str | None = None
    lane: str | None = None
    dimensions: Dimensions = {}
    host: dict[str, Any] = {}


class _Stats(BaseModel):
    """In seconds. data: the single measurements, present only with --benchmark-save-data."""

    median: float
    data: list[float] = []


class _Benchmark(BaseModel):
    name: str
    extra_info: _Info
    stats: _Stats


class _Saved(BaseModel):
    benchmarks: list[dict[str, Any]]


def _run_of(entry: dict[str, Any]) -> object:
    info = entry.get("extra_info")
    return info.get("run") if isinstance(info, dict) else None


def _record(entry: _Benchmark) -> Record:
    info, samples = entry.extra_info, [seconds * MS_PER_S for seconds in entry.stats.data]
    return Record(
        name=info.metric or entry.name,
        value=statistics.median_low(samples) if samples else entry.stats.median * MS_PER_S,
        unit="ms",
        direction="lower",
        lane=info.lane,
        dimensions=info.dimensions,
        host=info.host,
        samples=samples,
    )
