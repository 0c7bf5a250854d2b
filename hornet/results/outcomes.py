"""Test results as JSON lines: outcomes.jsonl of a run directory has one Case per line, written as each test ends.

The lines of requirements, at the end of the file, are for other programs: the suite judges requirements anew, by the
lines of their tests (hornet/results/requirements.py).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from hornet.foreign_file import parse_json, read_bytes
from hornet.host.append import append_line
from hornet.results.json_lines import parse_lines

OUTCOMES_FILE = "outcomes.jsonl"
# In a run directory: a directory for each test and VM.
EVIDENCE_DIRECTORY = "evidence"
# A complete run writes some 300 KiB; a failure may add its console.
MAX_OUTCOMES_BYTES = 64 << 20
MAX_LINE_BYTES = 1 << 20
MAX_REASON_CHARACTERS = 4_000
# JSON writes a character in up to 12 bytes, so that the longest line fits its limit.
MAX_DETAIL_CHARACTERS = 60_000
MAX_NAME_CHARACTERS = 1_000
MAX_LISTED = 100
YEAR_S = 366 * 86_400

TEST, REQUIREMENT = "test", "requirement"
# Properties of pytest's reports that become fields of a case.
TEST_PROPERTY = "test"
REQUIREMENT_PROPERTY = "requirement"
LANE_PROPERTY = "lane"
METRIC_PROPERTY = "metric"
EVIDENCE_PROPERTY = "evidence"
NEEDS_KVM_PROPERTY = "needs_kvm"


class Result(StrEnum):
    """The result of a test or requirement. A waived requirement failed or was not judged, and a waiver covers it."""

    PASSED = "passed"
    FAILED = "failed"
    ERROR = "error"
    NOT_JUDGED = "not judged"
    NOT_RUN = "not run"
    WAIVED = "waived"


# From the worst on: which result counts if a test has several.
WORST_FIRST = (Result.FAILED, Result.ERROR, Result.NOT_RUN, Result.NOT_JUDGED, Result.PASSED)

Name = Annotated[str, Field(min_length=1, max_length=MAX_NAME_CHARACTERS)]
Plain = Annotated[str, Field(pattern=r"^[ -~]+$", max_length=MAX_NAME_CHARACTERS)]
Plains = Annotated[tuple[Plain, ...], Field(max_length=MAX_LISTED)]
# Reports link it: a directory of the run, and nothing else.
EVIDENCE_PATTERN = r"^evidence/[\w.-]+$"
Evidence = Annotated[str, Field(pattern=EVIDENCE_PATTERN, max_length=MAX_NAME_CHARACTERS)]


class Case(BaseModel):
    """The result of one test.

    test: as in `conformance/test_tools::test_tool_works[node]`. result: error means that the test could not judge.
    reason: one line. detail: what pytest shows of a failure. requirements: the ids that the test proves. metric: the
    target metric whose verdict the test shows. needs_kvm: it was not judged because the target needs a KVM lane.
    lane: None without a VM. lab: QEMU emulated the host's processor, and with it KVM. evidence: paths in the run
    directory.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Literal["test"] = "test"
    test: Name
    result: Literal[Result.PASSED, Result.FAILED, Result.ERROR, Result.NOT_JUDGED]
    reason: Annotated[str, Field(max_length=MAX_REASON_CHARACTERS)] = ""
    detail: Annotated[str, Field(max_length=MAX_DETAIL_CHARACTERS)] = ""
    requirements: Plains = ()
    metric: Plain | None = None
    needs_kvm: bool = False
    lane: Plain | None = None
    lab: bool = False
    duration_s: Annotated[float, Field(ge=0, le=YEAR_S, allow_inf_nan=False)] = 0.0
    evidence: Annotated[tuple[Evidence, ...], Field(max_length=MAX_LISTED)] = ()

    @property
    def module(self) -> str:
        """As in `conformance/test_tools`."""
        return self.test.partition("::")[0]

    @property
    def name(self) -> str:
        """As in `test_tool_works[node]`."""
        return self.test.partition("::")[2]

    @property
    def function(self) -> str:
        """The test without its parameters, as in `conformance/test_tools::test_tool_works`."""
        return f"{self.module}::{self.name.partition('[')[0]}"

    @property
    def suite(self) -> str:
        """The directory below tests/, as in `conformance`; empty for a test from elsewhere."""
        return self.module.partition("/")[0] if "/" in self.module else ""


class RequirementLine(BaseModel):
    """The outcome of a requirement as the end of a run writes it, for other programs.

    result: a Result, or why the run needs none (hornet.results.requirements.NoResult). tests: as in
    `conformance/test_tools::test_tool_works`. subject: SHA-256 of kernel, rootfs and snapshot.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Literal["requirement"] = "requirement"
    id: Plain
    level: Literal["must", "should"]
    result: Plain
    reason: str
    tests: list[str]
    lanes: list[str]
    duration_s: float
    evidence: list[str]
    subject: dict[str, str]


def module_name(parts: Sequence[str]) -> str:
    """The name of a test module that lies at `parts`, as in `conformance/test_tools`, wherever the suite lies."""
    tops = [place for place, part in enumerate(parts) if part in ("tests", "hornet_tests")]
    return "/".join(parts[tops[-1] + 1 :] if tops else parts)


def append_outcome(run_directory: Path, outcome: dict[str, Any]) -> None:
    """Add one line. Raises HostError for a full or unwritable disk."""
    append_line(run_directory / OUTCOMES_FILE, json.dumps(outcome))


def read_outcomes(path: Path) -> tuple[list[Case], list[str]]:
    """The cases of a file, and one sentence (file, line, reason) for each damaged line.

    Raises ForeignFileError if the file cannot be read.
    """
    cases, problems = parse_outcomes(read_bytes(path, MAX_OUTCOMES_BYTES))
    return cases, [f"{path.name}, {problem}" for problem in problems]


def parse_outcomes(data: bytes) -> tuple[list[Case], list[str]]:
    """The cases in the lines of outcomes.jsonl, and one sentence for each of the first damaged lines."""
    return parse_lines(data, _parse_line, MAX_LINE_BYTES)


def several_results(cases: Iterable[Case]) -> list[str]:
    """The tests with lines of different results."""
    results: dict[str, set[Result]] = {}
    for case in cases:
        results.setdefault(case.test, set()).add(case.result)
    return [test for test, found in results.items() if len(found) > 1]


def worst_of_each(cases: Iterable[Case]) -> list[Case]:
    """One case per test, in the order of first appearance: a test that failed and then passed is not proved."""
    found: dict[str, Case] = {}
    for case in cases:
        known = found.setdefault(case.test, case)
        if WORST_FIRST.index(case.result) < WORST_FIRST.index(known.result):
            found[case.test] = case
    return list(found.values())


def _parse_line(line: bytes) -> Case | None:
    """The case in a line; None for the line of a requirement. Raises ForeignFileError and ValidationError."""
    parsed = parse_json(line)
    if isinstance(parsed, dict) and parsed.get("kind") == REQUIREMENT:
        return None
    return Case.model_validate_json(line, strict=True)
