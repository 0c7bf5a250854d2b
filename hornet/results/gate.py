"""The decision on a whole run: passed, failed or not judged. Every exit code of a run comes from here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum

from hornet.results.collected import IMAGE_SUITES, not_run
from hornet.results.outcomes import Case, Result
from hornet.results.policy import Policy
from hornet.results.policy_problems import policy_problems
from hornet.results.requirements import NoResult, RequirementRow, requirement_rows
from hornet.results.run import Run
from hornet.results.verdict import Judgement, Verdict, judge
from hornet.results.waivers import Waiver, waiver_problems
from hornet.spec.model import Spec
from hornet.spec.requirements import Requirement


class Answer(StrEnum):
    """The decision; each has its exit code (see hornet_cli/main.py)."""

    PASSED = "passed"
    FAILED = "failed"
    NOT_JUDGED = "not judged"

    @property
    def exit_code(self) -> int:
        return {Answer.PASSED: 0, Answer.FAILED: 1, Answer.NOT_JUDGED: 2}[self]


@dataclass(frozen=True)
class Demands:
    """What a run is judged by: the requirements, what a release demands beyond them, what is waived, and the day."""

    requirements: Mapping[str, Requirement]
    policy: Policy = field(default_factory=Policy)
    waivers: Mapping[str, Waiver] = field(default_factory=dict)
    today: date = field(default_factory=date.today)


@dataclass(frozen=True)
class Decision:
    """The answer and its reasons, each one sentence that names the thing.

    failures: what does not hold. unjudged: what is missing for a decision. left_out: what needs a KVM lane and was not
    demanded. remarks: failures that do not block, and waivers that are needless. rows: every requirement.
    """

    answer: Answer
    failures: list[str]
    unjudged: list[str]
    left_out: list[str]
    remarks: list[str]
    rows: list[RequirementRow]

    @property
    def waived(self) -> list[RequirementRow]:
        return [row for row in self.rows if row.result is Result.WAIVED]

    @property
    def headline(self) -> str:
        """The decision in one sentence, which says no more than the results do."""
        judged = [row for row in self.rows if isinstance(row.result, Result)]
        counts = {result: sum(row.result is result for row in judged) for result in Result}
        others = [f"{count} {result}" for result, count in counts.items() if count and result is not Result.PASSED]
        beside = f" ({', '.join(others)})" if others else ""
        suite = sum(row.result is NoResult.OF_THE_SUITE for row in self.rows)
        proved = f"; {suite} more are proved by the suite's own tests" if suite else ""
        return f"{self.answer}: {counts[Result.PASSED]} of {len(judged)} requirements hold{beside}{proved}"


def decide(spec: Spec, run: Run, demands: Demands, baseline: Run | None = None) -> Decision:
    """Decide on a run. It passes if every requirement of its image has a result and none that blocks failed.

    A failed test fails a run unless each requirement that it proves is waived or does not block. What needs a KVM lane
    and was not judged is left out, unless the policy demands it: then it is a failure, so that a release cannot pass by
    skipping. There is no decision if anything was not run, could not be judged, or was lost (hornet.results.run.Run).
    """
    judgements = judge(spec, run.records)
    rows = requirement_rows(spec, demands.requirements.values(), run, judgements, demands.waivers, demands.today)
    sorted_out = _Sorter(demands.policy, {row.id: row for row in rows})
    for row in rows:
        sorted_out.requirement(row)
    of_requirements = {requirement.metric for requirement in demands.requirements.values()}
    for item in judgements:
        if item.metric not in of_requirements:
            sorted_out.metric(spec, item)
    for case in run.cases:
        sorted_out.case(case)
    failures = [*sorted_out.failures, *waiver_problems(dict(demands.waivers), demands.requirements, demands.today)]
    unjudged = [*sorted_out.unjudged, *not_run(run.collected, {case.test for case in run.cases}), *run.lost]
    waived = [row.id for row in rows if row.result is Result.WAIVED]
    if len(waived) > demands.policy.max_waived:
        shown = ", ".join(waived)
        failures.append(f"over-waived: {len(waived)} waived, the policy allows {demands.policy.max_waived}: {shown}")
    more_failures, more_unjudged = policy_problems(demands.policy, run, baseline, spec.noise)
    failures, unjudged = _unique([*failures, *more_failures]), _unique([*unjudged, *more_unjudged])
    answer = Answer.FAILED if failures else Answer.NOT_JUDGED if unjudged else Answer.PASSED
    return Decision(answer, failures, unjudged, sorted_out.left_out, sorted_out.remarks, rows)


class _Sorter:
    """Sorts outcomes into failures, what is missing for a decision, what needs KVM, and remarks."""

    def __init__(self, policy: Policy, rows: Mapping[str, RequirementRow]) -> None:
        self.policy = policy
        self.rows = rows
        self.failures: list[str] = []
        self.unjudged: list[str] = []
        self.left_out: list[str] = []
        self.remarks: list[str] = []

    def requirement(self, row: RequirementRow) -> None:
        sentence = f"{row.id}: {row.text}: {row.reason}"
        blocks = row.level in self.policy.blocking_levels
        if row.result is Result.NOT_RUN:
            self.unjudged.append(sentence)
        elif row.result is Result.FAILED:
            (self.failures if blocks else self.remarks).append(sentence if blocks else f"{row.level} {sentence}")
        elif row.result is Result.NOT_JUDGED and row.needs_kvm:
            (self.failures if blocks and self.policy.require_kvm else self.left_out).append(sentence)
        elif row.result in (Result.ERROR, Result.NOT_JUDGED):
            (self.unjudged if blocks else self.remarks).append(sentence)
        elif row.result is Result.PASSED and row.waiver:
            self.remarks.append(f"waiver {row.id}: not needed: the requirement holds; remove it")

    def metric(self, spec: Spec, item: Judgement) -> None:
        """A target metric that no requirement names, such as one of an overlay."""
        label = f" ({item.record.label})" if item.record and item.record.label else ""
        sentence = f"{spec.metrics[item.metric].title}{label}: {item.verdict}: {item.reason}"
        if item.verdict is Verdict.MISSES or (item.needs_kvm and self.policy.require_kvm):
            self.failures.append(sentence)
        elif item.needs_kvm:
            self.left_out.append(sentence)
        elif not item.verdict.judged:
            self.unjudged.append(sentence)

    def case(self, case: Case) -> None:
        """A test that no requirement accounts for."""
        if case.result is Result.PASSED or case.metric or self._accounted_for(case):
            return
        sentence = f"{case.test}: {case.reason}"
        if case.result is Result.FAILED:
            self.failures.append(sentence)
        elif case.result is Result.ERROR or case.suite in IMAGE_SUITES:
            self.unjudged.append(sentence)

    def _accounted_for(self, case: Case) -> bool:
        return any(key in self.rows for key in case.requirements)


def _unique(sentences: Sequence[str]) -> list[str]:
    return list(dict.fromkeys(sentences))
