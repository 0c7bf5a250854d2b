"""Closes a run directory: the outcome of each requirement, for other programs, then the hashes of all results."""

from __future__ import annotations

from datetime import date
from pathlib import Path

from hornet.results.collected import COLLECTED_FILE
from hornet.results.outcomes import OUTCOMES_FILE, RequirementLine, append_outcome
from hornet.results.policy import POLICY_FILE
from hornet.results.records import RECORDS_FILE
from hornet.results.requirements import RequirementRow, requirement_rows
from hornet.results.run import ARTIFACTS_FILE, HOST_FILE, JUNIT_FILE, Run, load_run
from hornet.results.run_info import SPEC_FILE, end_session
from hornet.results.verdict import judge
from hornet.results.waivers import WAIVERS_FILE
from hornet.spec.model import Spec
from hornet.spec.requirements import load_requirements

RESULTS = (OUTCOMES_FILE, RECORDS_FILE, COLLECTED_FILE, JUNIT_FILE, ARTIFACTS_FILE, HOST_FILE, SPEC_FILE)
DEMANDS = (POLICY_FILE, WAIVERS_FILE)


def end_run(directory: Path, exit_status: int, spec: Spec) -> None:
    """Append one line per requirement to outcomes.jsonl, and close run.json. Raises HornetError."""
    run = load_run(directory)
    rows = requirement_rows(spec, load_requirements().values(), run, judge(spec, run.records), {}, date.today())
    for row in rows:
        append_outcome(directory, _line(row, run))
    end_session(directory, exit_status, run.subject, (*RESULTS, *DEMANDS))


def _line(row: RequirementRow, run: Run) -> dict[str, object]:
    line = RequirementLine(
        id=row.id,
        level=row.level,
        result=row.result,
        reason=row.reason,
        tests=row.tests,
        lanes=row.lanes,
        duration_s=round(row.duration_s, 3),
        evidence=row.evidence,
        subject=run.subject,
    )
    return line.model_dump(mode="json")
