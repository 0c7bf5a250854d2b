"""The verdict of a run on each requirement of the guide, with the tests and lanes that gave it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from hornet import __version__
from hornet.results.junit import Case
from hornet.results.verdict import Judgement, Verdict
from hornet.spec.requirements import Requirement


class RequirementVerdict(StrEnum):
    """The verdict of a run on a requirement."""

    HOLDS = "holds"
    FAILS = "fails"
    PARTLY = "holds as far as judged"
    UNJUDGED = "not judged"
    NOT_RUN = "no test ran"
    NOT_COVERED = "not covered"
    OF_THE_SUITE = "property of the suite"


@dataclass(frozen=True)
class RequirementRow:
    """A requirement and its verdict. checks: its tests, as in `conformance/test_tools::test_tool_is_present`."""

    id: str
    section: str
    text: str
    checks: list[str]
    lanes: list[str]
    verdict: RequirementVerdict
    reason: str


def requirement_rows(
    guide: Iterable[Requirement], judgements: Sequence[Judgement], cases: Sequence[Case]
) -> list[RequirementRow]:
    """One row per requirement, in the guide's order.

    A requirement with a target metric has the metric's verdict: if its test passed, it was only measured.
    """
    return [
        _row(
            requirement,
            [item for item in judgements if item.metric == requirement.metric],
            [case for case in cases if requirement.id in case.guide],
        )
        for requirement in guide
    ]


def _row(requirement: Requirement, judgements: Sequence[Judgement], cases: Sequence[Case]) -> RequirementRow:
    lanes = [case.lane for case in cases] + [item.record.lane for item in judgements if item.record]
    verdict, reason = _verdict(requirement, judgements, cases)
    return RequirementRow(
        id=requirement.id,
        section=requirement.section,
        text=requirement.text,
        checks=list(dict.fromkeys(case.test for case in cases)),
        lanes=list(dict.fromkeys(lane for lane in lanes if lane)),
        verdict=verdict,
        reason=reason,
    )


def _verdict(
    requirement: Requirement, judgements: Sequence[Judgement], cases: Sequence[Case]
) -> tuple[RequirementVerdict, str]:
    bad = [f"{case.test}: {case.message}" for case in cases if case.outcome == "failed"]
    bad += [item.reason for item in judgements if item.verdict is Verdict.MISSES]
    left_open = [f"{case.test}: {case.message}" for case in cases if case.outcome in ("error", "skipped")]
    left_open += [item.reason for item in judgements if item.verdict in (Verdict.EMULATED, Verdict.INVALID_RECORD)]
    good = [item.reason for item in judgements if item.verdict is Verdict.MEETS]
    if requirement.metric is None:
        good += [case.test for case in cases if case.outcome == "passed"]
    if bad:
        return RequirementVerdict.FAILS, "; ".join(bad)
    if good and left_open:
        return RequirementVerdict.PARTLY, left_open[0]
    if good:
        return RequirementVerdict.HOLDS, good[0] if requirement.metric else f"{len(good)} passed"
    if left_open:
        return RequirementVerdict.UNJUDGED, left_open[0]
    if requirement.not_covered:
        return RequirementVerdict.NOT_COVERED, requirement.not_covered
    if requirement.scope == "suite":
        return (
            RequirementVerdict.OF_THE_SUITE,
            f"proved by the own tests of hornetos-suite {__version__}, not by this run",
        )
    return RequirementVerdict.NOT_RUN, "not measured" if requirement.metric else "this run had none of its tests"


def requirements_sentence(rows: Sequence[RequirementRow]) -> str:
    """How many requirements of the guide have which verdict, in one sentence."""
    counts = {verdict: sum(row.verdict is verdict for row in rows) for verdict in RequirementVerdict}
    others = [f"{verdict}: {count}" for verdict, count in counts.items() if count and verdict is not verdict.HOLDS]
    return f"{counts[RequirementVerdict.HOLDS]} of the guide's {len(rows)} requirements hold" + (
        f"; {', '.join(others)}." if others else "."
    )
