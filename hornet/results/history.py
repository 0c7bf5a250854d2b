"""One quantity over many runs: a series for each metric, dimensions, lane, host and tier. Lanes are never mixed.

What cannot be trusted is left out and named: a run that did not end, was edited, is of a newer suite, is a copy of
another, or whose clock went back; a quantity that one run measured twice.
"""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.parse import quote

from hornet.foreign_file import ForeignFileError
from hornet.results.benchmarks import SavedBenchmarks
from hornet.results.records import RECORDS_FILE, Direction, Record, read_records
from hornet.results.run_info import RUN_FILE, RunInfo, read_run_info, run_problems
from hornet.text import one_line

REPORT_FILE = "report.html"
# Clocks of hosts differ; a run that begins later than this from now has a wrong clock.
CLOCK_TOLERANCE = timedelta(minutes=5)


@dataclass(frozen=True)
class Point:
    """One run's value. started: UTC in ISO 8601. samples: how many the value is the median of; 0 for a single value.
    subject: SHA-256 of what was judged, by kind."""

    run: str
    directory: Path
    started: str
    value: float
    samples: int
    subject: Mapping[str, str]


@dataclass(frozen=True)
class Series:
    """One quantity over runs, oldest first. label: its dimensions and its machine. host: of all its points."""

    metric: str
    label: str
    lane: str | None
    unit: str
    direction: Direction
    tier: str | None
    host: Mapping[str, Any]
    points: list[Point] = field(default_factory=list)

    def of_record(self, record: Record, tier: str | None) -> bool:
        """Whether a record of a run of this tier belongs to it."""
        return _key(record, tier) == (self.metric, self.lane, self.label, self.unit, self.tier, _text_of(self.host))


@dataclass(frozen=True)
class History:
    """Series in order of appearance. runs: how many were read. problems: one sentence for what was left out."""

    series: list[Series]
    runs: int
    problems: list[str]


def run_directories(reports: Path) -> list[Path]:
    """The run directories of a place, each once: a link such as `latest` is none of its own."""
    found = {path.parent for name in (RUN_FILE, RECORDS_FILE) for path in reports.glob(f"*/{name}")}
    return sorted(path for path in found if not path.is_symlink())


def link_to(run: Path, page: Path) -> str:
    """The relative link from a page in a directory to a run's report, or to its directory if it has none."""
    report = run / REPORT_FILE
    known = run == page or report.is_file()
    return quote(os.path.relpath(report if known else run, page))


def begun_at(directories: Iterable[Path]) -> dict[Path, datetime]:
    """When each run began, without those that do not say it."""
    begun: dict[Path, datetime] = {}
    for each in directories:
        with suppress(ForeignFileError, IndexError, ValueError):
            found = datetime.fromisoformat(read_run_info(each / RUN_FILE).sessions[0].started)
            begun[each] = found if found.tzinfo else found.replace(tzinfo=UTC)
    return begun


def runs_up_to(directory: Path, limit: int) -> list[Path]:
    """A run directory and the latest runs beside it that began before it, at most `limit`, oldest first."""
    begun = begun_at({*run_directories(directory.parent), directory})
    if directory not in begun:
        return []
    earlier = [each for each, start in begun.items() if start < begun[directory] and each != directory]
    return [*sorted(earlier, key=lambda each: (begun[each], each))[-(limit - 1) :], directory]


def read_history(directories: Iterable[Path], metrics: Collection[str] | None = None) -> History:
    """The series of these runs; of all metrics if None are given. Only the values are kept, not the samples."""
    series: dict[tuple[Any, ...], Series] = {}
    problems: list[str] = []
    saved: dict[Path, SavedBenchmarks] = {}
    seen: dict[tuple[str, str], Path] = {}
    read: list[tuple[str, Path, RunInfo]] = []
    for directory in {path.resolve(): None for path in directories}:
        try:
            info = _trusted(directory, seen)
        except ForeignFileError as error:
            problems.append(one_line(f"{directory.name}: left out: {error.message}"))
        else:
            read.append((info.sessions[0].started, directory, info))
    for _, directory, info in sorted(read, key=lambda each: (datetime.fromisoformat(each[0]), each[1])):
        if directory.parent not in saved:
            saved[directory.parent] = SavedBenchmarks(directory.parent)
            problems += saved[directory.parent].problems
        problems += _add(series, directory, info, saved[directory.parent], metrics)
    return History(list(series.values()), len(read), problems)


def _trusted(directory: Path, seen: dict[tuple[str, str], Path]) -> RunInfo:
    """How a run was made. Raises ForeignFileError for one whose values say nothing."""
    info = read_run_info(directory / RUN_FILE)
    problems = [*run_problems(directory, info), *_clock_problems(info)]
    if problems:
        raise ForeignFileError(problems[0])
    identity = (info.sessions[0].started, info.files.get(RECORDS_FILE, str(directory)))
    first = seen.setdefault(identity, directory)
    if first != directory:
        raise ForeignFileError(f"a copy of {first}: the same start and the same values")
    return info


def _clock_problems(info: RunInfo) -> list[str]:
    """Why the times of a run cannot be true."""
    times: list[datetime] = []
    for text in [time for session in info.sessions for time in (session.started, session.ended) if time]:
        try:
            time = datetime.fromisoformat(text)
        except ValueError:
            return [f"{RUN_FILE}: {text!r} is not a time in ISO 8601"]
        if time.tzinfo is None:
            return [f"{RUN_FILE}: {text!r} is without a time zone"]
        times.append(time)
    for before, after in pairwise(times):
        if after < before:
            return [f"{RUN_FILE}: the clock went back, from {before.isoformat()} to {after.isoformat()}"]
    if times and times[0] > datetime.now(UTC) + CLOCK_TOLERANCE:
        return [f"{RUN_FILE}: it began in the future, at {times[0].isoformat()}: a clock is wrong"]
    return []


def _add(
    series: dict[tuple[Any, ...], Series],
    directory: Path,
    info: RunInfo,
    saved: SavedBenchmarks,
    metrics: Collection[str] | None,
) -> list[str]:
    """Add the values of one run; returns one sentence for what it left out."""
    try:
        records, problems = read_records(directory / RECORDS_FILE)
    except ForeignFileError:  # it measured nothing, or run_problems would have said that the file was removed
        return []
    name = one_line(directory.name)
    problems = [one_line(f"{name}: {problem}") for problem in problems]
    own = {record.identity for record in records}
    by_identity: dict[Any, list[Record]] = {}
    for record in [*records, *(each for each in saved.of(directory.name) if each.identity not in own)]:
        if metrics is None or record.name in metrics:
            by_identity.setdefault(record.identity, []).append(record)
    for record, *more in by_identity.values():
        if more:
            what = f"{record.name} ({record.label})" if record.label else record.name
            problems.append(one_line(f"{name}: {what}: measured {len(more) + 1} times: left out"))
            continue
        key = _key(record, info.tier)
        if key not in series:
            series[key] = Series(
                metric=one_line(record.name),
                label=_label(record),
                lane=record.lane,
                unit=one_line(record.unit),
                direction=record.direction,
                tier=info.tier,
                host=record.host,
            )
        started = info.sessions[0].started
        point = Point(name, directory, started, record.value, len(record.samples), info.subject)
        series[key].points.append(point)
    return problems


def _key(record: Record, tier: str | None) -> tuple[Any, ...]:
    return (
        one_line(record.name),
        record.lane,
        _label(record),
        one_line(record.unit),
        tier,
        _text_of(record.host),
    )


def _label(record: Record) -> str:
    """The dimensions and the machine as text: a VM of 128 MiB is in another series than one of 256 MiB."""
    machine = (f"{key}={value}" for key, value in record.machine.items())
    return one_line(", ".join(filter(None, (record.label, *machine))))


def _text_of(host: Mapping[str, Any]) -> str:
    return json.dumps(host, sort_keys=True)
