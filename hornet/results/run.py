"""The contents of a run directory. Missing and damaged inputs are named, never invented."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from hornet.errors import HostError
from hornet.foreign_file import ForeignFileError, first_problem, read_json
from hornet.results.benchmarks import SavedBenchmarks
from hornet.results.collected import COLLECTED_FILE, Collected, missing_suites, read_collected
from hornet.results.outcomes import OUTCOMES_FILE, Case, read_outcomes, several_results, worst_of_each
from hornet.results.records import RECORDS_FILE, Amount, Record, read_records
from hornet.results.run_info import RUN_FILE, SPEC_FILE, RunInfo, Session, read_run_info, run_problems
from hornet.spec.model import Spec
from hornet.text import one_line

ARTIFACTS_FILE = "artifacts.json"
HOST_FILE = "host.json"
# For other programs; the suite reads outcomes.jsonl.
JUNIT_FILE = "junit.xml"
# host.json and artifacts.json have a few KiB.
MAX_FACTS_BYTES = 1 << 20


class RootfsFacts(BaseModel):
    """The facts of an image that reports use; others are shown as is. guide_components: rows of the guide's table."""

    model_config = ConfigDict(strict=True)

    tier: str = ""
    components_mb: dict[str, Amount] = {}
    guide_components: dict[str, str] = {}


class KernelFacts(BaseModel):
    """The facts of a kernel that reports use."""

    model_config = ConfigDict(strict=True)

    size_mb: Amount | None = None


# The fields of a record that may hold any text.
_TEXTS = {"name", "unit", "dimensions", "host", "parts", "runs", "machine", "time", "commit", "subject"}
# The fields of a case that are shown on one line.
_CASE_TEXTS = {"test", "reason"}
_ANY_FACTS = TypeAdapter[Any](dict[str, Any])
_MODELS = {"rootfs": TypeAdapter[Any](RootfsFacts), "kernel": TypeAdapter[Any](KernelFacts)}


@dataclass
class Run:
    """A loaded run.

    problems: one sentence for each input that is missing, damaged or only partly readable. lost: those of them that
    may hide a measured value or a test result, so that there can be no verdict on the whole run.
    """

    directory: Path
    records: list[Record] = field(default_factory=list)
    cases: list[Case] = field(default_factory=list)
    artifacts: dict[str, dict[str, Any]] = field(default_factory=dict)
    host: dict[str, Any] = field(default_factory=dict)
    flaky: list[str] = field(default_factory=list)
    collected: Collected = field(default_factory=dict)
    info: RunInfo | None = None
    problems: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)

    @property
    def rootfs(self) -> RootfsFacts:
        """The facts of the image; empty if none were recorded."""
        return RootfsFacts.model_validate(self.artifacts.get("rootfs", {}))

    @property
    def kernel(self) -> KernelFacts:
        """The facts of the kernel; empty if none were recorded."""
        return KernelFacts.model_validate(self.artifacts.get("kernel", {}))

    @property
    def subject(self) -> dict[str, str]:
        """SHA-256 of what was judged: kernel, rootfs, snapshot (of its manifest), as far as recorded."""
        found = {name: facts.get("self_sha256") or facts.get("sha256") for name, facts in self.artifacts.items()}
        return {name: str(sha256) for name, sha256 in found.items() if sha256}

    @property
    def name(self) -> str:
        return self.directory.name

    @property
    def tier(self) -> str | None:
        """The tier by whose rules it was judged; None if unknown."""
        return self.info.tier if self.info else None

    @property
    def suite(self) -> str:
        """The version of the suite that made it; empty if unknown."""
        return self.info.suite if self.info else ""

    @property
    def sessions(self) -> list[Session]:
        return self.info.sessions if self.info else []

    def spec(self) -> Spec | None:
        """The specification by which it ran, with its overlays; None if the run has none that this suite can read."""
        try:
            return Spec.model_validate(read_json(self.directory / SPEC_FILE, MAX_FACTS_BYTES))
        except (ForeignFileError, ValidationError):
            return None

    @property
    def lanes(self) -> list[str]:
        """The lanes of the values, in order of appearance."""
        return list(dict.fromkeys(record.lane for record in self.records if record.lane))


def load_run(directory: Path, saved: SavedBenchmarks | None = None) -> Run:
    """Load a run directory. Raises HostError only if there is no such directory.

    saved: the benchmarks beside it, for a caller who loads many runs of one place; read if not given.
    """
    directory = directory.resolve()
    if not directory.is_dir():
        raise HostError(f"{directory}: no such run directory", "name a run in HORNET_HOME/reports")
    run = Run(directory)
    _load_info(run)
    _load_records(run, saved or SavedBenchmarks(directory.parent))
    _load_outcomes(run)
    _load_collected(run)
    run.host = _load_json(run, HOST_FILE)
    if run.host and any(record.host != run.host for record in run.records):
        run.lost.append(f"{RECORDS_FILE}: it has values of another host than {HOST_FILE}: a run is of one host")
    run.problems += run.lost
    _note_artifacts(run, _load_json(run, ARTIFACTS_FILE))
    run.records = [record.model_copy(update=_as_text(record.model_dump(include=_TEXTS))) for record in run.records]
    run.cases = [case.model_copy(update=_as_text(case.model_dump(include=_CASE_TEXTS))) for case in run.cases]
    run.artifacts, run.host = _as_text(run.artifacts), _as_text(run.host)
    run.problems, run.lost = _as_text(run.problems), _as_text(run.lost)
    return run


def _as_text(value: Any) -> Any:
    """The same value with every name and text in it as one printable line."""
    if isinstance(value, str):
        return one_line(value)
    if isinstance(value, dict):
        return {_as_text(key): _as_text(inner) for key, inner in value.items()}
    return [_as_text(inner) for inner in value] if isinstance(value, list) else value


def _note_artifacts(run: Run, found: dict[str, Any]) -> None:
    for name, facts in found.items():
        try:
            _MODELS.get(name, _ANY_FACTS).validate_python(facts)
        except ValidationError as error:
            run.problems.append(f"{ARTIFACTS_FILE}: {name!r} is not a table of facts: {first_problem(error)}")
        else:
            run.artifacts[name] = facts


def _load_records(run: Run, saved: SavedBenchmarks) -> None:
    path = run.directory / RECORDS_FILE
    try:
        run.records, damaged = read_records(path)
    except ForeignFileError as error:
        run.lost.append(f"{error.message}: no measured values")
    else:
        run.lost += damaged
    known = {record.identity for record in run.records}
    run.records += [record for record in saved.of(run.name) if record.identity not in known]
    run.problems += saved.problems


def _load_info(run: Run) -> None:
    try:
        run.info = read_run_info(run.directory / RUN_FILE)
        run.lost += run_problems(run.directory, run.info)
    except ForeignFileError as error:
        run.lost.append(f"{error.message}: how this run was made, and whether it ended, is unknown")


def _load_outcomes(run: Run) -> None:
    try:
        lines, damaged = read_outcomes(run.directory / OUTCOMES_FILE)
    except ForeignFileError as error:
        run.lost.append(f"{error.message}: no test results")
    else:
        run.cases, run.flaky = worst_of_each(lines), several_results(lines)
        run.lost += damaged


def _load_collected(run: Run) -> None:
    try:
        run.collected = read_collected(run.directory / COLLECTED_FILE)
        run.lost += missing_suites(run.collected)
    except ForeignFileError as error:
        run.lost.append(f"{error.message}: whether every test ran is unknown")


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
