"""What a run has left in its directory. Whatever is missing or damaged is named, never made up."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hornet.errors import HostError
from hornet.foreign_file import ForeignFileError, read_json
from hornet.records import RECORDS_FILE, Record, read_records
from reports.benchmarks import read_benchmarks
from reports.junit import Case, read_junit

ARTIFACTS_FILE = "artifacts.json"
HOST_FILE = "host.json"
JUNIT_FILE = "junit.xml"
# host.json and artifacts.json have some KiB.
MAX_FACTS_BYTES = 1 << 20
# Beside the run directories: pytest-benchmark's storage, shared by all runs so that it can compare them.
BENCHMARKS_DIRECTORY = "benchmarks"


@dataclass
class Run:
    """A run as loaded. problems: one sentence for each input that is missing, damaged or only partly readable."""

    directory: Path
    records: list[Record] = field(default_factory=list)
    cases: list[Case] = field(default_factory=list)
    artifacts: dict[str, dict[str, Any]] = field(default_factory=dict)
    host: dict[str, Any] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    @property
    def name(self) -> str:
        return self.directory.name

    @property
    def lanes(self) -> list[str]:
        """The lanes that values come from, in order of appearance."""
        return list(dict.fromkeys(record.lane for record in self.records if record.lane))


def load_run(directory: Path) -> Run:
    """Load a run directory. Raises HostError only when there is no such directory."""
    directory = directory.resolve()
    if not directory.is_dir():
        raise HostError(f"{directory}: no such run directory", "name a run below HORNET_HOME/reports, or make one")
    run = Run(directory)
    _load_records(run)
    _load_junit(run)
    run.artifacts = _load_json(run, ARTIFACTS_FILE)
    for name in [name for name, facts in run.artifacts.items() if not isinstance(facts, dict)]:
        run.problems.append(f"{ARTIFACTS_FILE}: {name!r} is not a table of facts")
        del run.artifacts[name]
    run.host = _load_json(run, HOST_FILE)
    return run


def _load_records(run: Run) -> None:
    path = run.directory / RECORDS_FILE
    try:
        run.records, damaged = read_records(path)
    except ForeignFileError as error:
        run.problems.append(f"{error.message}: nothing measured can be shown")
    else:
        run.problems += damaged
    known = {record.identity for record in run.records}
    for path in sorted((run.directory.parent / BENCHMARKS_DIRECTORY).glob("**/*.json")):
        try:
            found = read_benchmarks(path, run.name)
        except ForeignFileError as error:
            run.problems.append(error.message)
        else:
            run.records += [record for record in found if record.identity not in known]


def _load_junit(run: Run) -> None:
    paths = sorted(run.directory.glob("junit*.xml"))
    if not paths:
        run.problems.append("junit*.xml: no such file: no test results can be shown")
    for path in paths:
        try:
            run.cases += read_junit(path)
        except ForeignFileError as error:
            run.problems.append(error.message)


def _load_json(run: Run, name: str) -> dict[str, Any]:
    try:
        facts = read_json(run.directory / name, MAX_FACTS_BYTES)
    except ForeignFileError as error:
        run.problems.append(error.message)
    else:
        if isinstance(facts, dict):
            return facts
        run.problems.append(f"{name}: expected a JSON object, found {type(facts).__name__}")
    return {}
