"""The outcome of a run for each requirement, from the tests that prove it or from its metric."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from enum import StrEnum

from hornet import __version__
from hornet.results.collected import without_result
from hornet.results.outcomes import WORST_FIRST, Case, Result
from hornet.results.run import Run
from hornet.results.verdict import Judgement, Verdict
from hornet.results.waivers import Waiver
from hornet.spec.model import Spec
from hornet.spec.requirements import Level, Requirement


class NoResult(StrEnum):
    """Why a run has no result for a requirement, and need not have one."""

    OF_THE_SUITE = "property of the suite"
    NOT_COVERED = "not covered"
    OTHER_TIER = "not for this tier"


# A metric's verdict as a result.
OF_VERDICT = {
    Verdict.MEETS: Result.PASSED,
    Verdict.MISSES: Result.FAILED,
    Verdict.EMULATED: Result.NOT_JUDGED,
    Verdict.PLAN: Result.NOT_JUDGED,
    Verdict.INVALID_RECORD: Result.ERROR,
    Verdict.NOT_MEASURED: Result.NOT_RUN,
}


@dataclass(frozen=True)
class RequirementRow:
    """A requirement and its outcome. text: with the values of the specification. tests: their names, as in
    `conformance/test_tools::test_tool_works`. needs_kvm: only for want of a KVM lane was it not judged. evidence: paths
    in the run directory. unwaived: the result without the waiver."""

    id: str
    section: str
    level: Level
    text: str
    result: Result | NoResult
    reason: str
    tests: list[str] = field(default_factory=list)
    lanes: list[str] = field(default_factory=list)
    duration_s: float = 0.0
    evidence: list[str] = field(default_factory=list)
    needs_kvm: bool = False
    waiver: Waiver | None = None
    unwaived: Result | None = None


@dataclass(frozen=True)
class _Part:
    """One thing that a requirement's outcome is made of."""

    result: Result
    reason: str
    needs_kvm: bool = False


def requirement_rows(
    spec: Spec,
    requirements: Iterable[Requirement],
    run: Run,
    judgements: Sequence[Judgement],
    waivers: Mapping[str, Waiver],
    today: date,
) -> list[RequirementRow]:
    """One row per requirement, in order. The worst of its parts is its result.

    A requirement with a metric has the metric's result: if the metric's test passed, it was only measured.
    """
    missing = without_result(run.collected, {case.test for case in run.cases})
    rows = []
    for requirement in requirements:
        mine = [item for item in judgements if item.metric == requirement.metric]
        cases = [case for case in run.cases if requirement.id in case.requirements]
        not_run = [test for test, ids in missing.items() if requirement.id in ids]
        row = _row(spec, requirement, run, mine, cases, not_run)
        rows.append(_waived(row, waivers.get(row.id), run, today))
    return rows


def _row(
    spec: Spec,
    requirement: Requirement,
    run: Run,
    judgements: Sequence[Judgement],
    cases: Sequence[Case],
    not_run: Sequence[str],
) -> RequirementRow:
    parts = [_Part(OF_VERDICT[item.verdict], item.reason, item.needs_kvm) for item in judgements]
    # A metric decides for its tests: if they passed, it was only measured; what they skip, it explains.
    counting = [case for case in cases if case.result in (Result.FAILED, Result.ERROR)] if requirement.metric else cases
    parts += [_Part(case.result, f"{case.test}: {case.reason}", case.needs_kvm) for case in counting]
    parts += [_Part(Result.NOT_RUN, f"{test} did not run") for test in not_run]
    result, reason, needs_kvm = _outcome(requirement, run, parts)
    lanes = [case.lane for case in cases] + [item.record.lane for item in judgements if item.record]
    return RequirementRow(
        id=requirement.id,
        section=requirement.section,
        level=requirement.level,
        text=requirement.text_for(spec),
        result=result,
        reason=reason,
        tests=list(dict.fromkeys(case.function for case in cases)),
        lanes=list(dict.fromkeys(lane for lane in lanes if lane)),
        duration_s=sum(case.duration_s for case in cases),
        evidence=list(dict.fromkeys(path for case in cases for path in case.evidence)),
        needs_kvm=needs_kvm,
    )


def _outcome(requirement: Requirement, run: Run, parts: Sequence[_Part]) -> tuple[Result | NoResult, str, bool]:
    """Result, reason, and whether only a KVM lane is missing."""
    for result in WORST_FIRST:
        found = [part for part in parts if part.result is result]
        if found and result is Result.PASSED:
            return result, found[0].reason if requirement.metric else f"{len(found)} passed", False
        if found:
            more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
            return result, found[0].reason + more, all(part.needs_kvm for part in found)
    if requirement.not_covered:
        return NoResult.NOT_COVERED, requirement.not_covered, False
    if requirement.scope == "suite":
        return NoResult.OF_THE_SUITE, f"proved by the own tests of hornetos-suite {run.suite or __version__}", False
    if not requirement.applies_to(run.tier):
        return NoResult.OTHER_TIER, f"it applies to {', '.join(requirement.tiers)}; this is {run.tier}", False
    return Result.NOT_RUN, "this run has no test of it", False


def _waived(row: RequirementRow, waiver: Waiver | None, run: Run, today: date) -> RequirementRow:
    """The row with its waiver; waived if the waiver covers a result. What did not run cannot be waived."""
    if waiver is None or not isinstance(row.result, Result):
        return row
    covers = waiver.covers(run.tier, row.lanes, today)
    if not covers or row.result in (Result.PASSED, Result.NOT_RUN):
        return replace(row, waiver=waiver if covers else None)
    reason = f"waived by {waiver.owner} until {waiver.expires}: {waiver.reason} ({row.result}: {row.reason})"
    return replace(row, waiver=waiver, result=Result.WAIVED, reason=reason, unwaived=row.result)
