"""The decision on a whole run: passed, failed or not judged. Every exit code of a run comes from here."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from hornet.results.collected import IMAGE_SUITES
from hornet.results.junit import Case
from hornet.results.run import Run
from hornet.results.verdict import Judgement, Verdict, judge
from hornet.spec.model import Spec


class Outcome(StrEnum):
    """The decision; each has its exit code (see hornet_cli/main.py)."""

    HOLDS = "passed"
    FAILS = "failed"
    UNJUDGED = "not judged"

    @property
    def exit_code(self) -> int:
        return {Outcome.HOLDS: 0, Outcome.FAILS: 1, Outcome.UNJUDGED: 2}[self]


@dataclass(frozen=True)
class Decision:
    """The outcome and its reasons. failures: failed tests and missed targets. unjudged: what is missing for a decision.
    emulated: metrics that need KVM and were not judged. Each entry is one sentence that names the thing."""

    outcome: Outcome
    failures: list[str]
    unjudged: list[str]
    emulated: list[str]


def decide(spec: Spec, run: Run, *, require_kvm: bool) -> Decision:
    """Decide on a run. It passes if every test passed and every metric meets its target.

    Anything that needs KVM and was not judged is left out of the decision; with `require_kvm` it is a failure, so that
    a release cannot pass by skipping. There is no decision if a metric was not measured, a test was skipped, could not
    judge or did not run, whatever left it out, or if results are lost (see hornet.results.run.Run).
    """
    judgements = judge(spec, run.records)
    failures = [_case(case) for case in run.cases if case.outcome == "failed"]
    failures += [_sentence(spec, item) for item in judgements if item.verdict is Verdict.MISSES]
    emulated = [_sentence(spec, item) for item in judgements if item.needs_kvm]
    unjudged = [
        _sentence(spec, item) for item in judgements if item.verdict in (Verdict.INVALID_RECORD, Verdict.NOT_MEASURED)
    ]
    unjudged += [_case(case) for case in run.cases if _is_unjudged(case)]
    unjudged += [*run.not_run, *run.lost]
    if require_kvm:
        failures += emulated
    outcome = Outcome.FAILS if failures else Outcome.UNJUDGED if unjudged else Outcome.HOLDS
    return Decision(outcome, failures, unjudged, emulated)


def _is_unjudged(case: Case) -> bool:
    """A test of a metric is left to the metric's own judgement."""
    if case.outcome == "error":
        return True
    return case.outcome == "skipped" and case.suite in IMAGE_SUITES and not (case.accepted or case.metric)


def _case(case: Case) -> str:
    return f"{case.module}::{case.name}: {case.message}"


def _sentence(spec: Spec, item: Judgement) -> str:
    label = f" ({item.record.label})" if item.record and item.record.label else ""
    return f"{spec.metrics[item.metric].title}{label}: {item.verdict}: {item.reason}"
