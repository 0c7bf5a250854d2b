"""The decision on a whole run: passed, failed or not judged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from hornet.results.junit import Case
from hornet.results.verdict import Judgement, Verdict
from hornet.spec.model import Spec

CONFORMANCE = "conformance"


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
    emulated: what needs KVM and was not judged. Each entry is one sentence that names the thing."""

    outcome: Outcome
    failures: list[str]
    unjudged: list[str]
    emulated: list[str]


def decide(
    spec: Spec,
    judgements: Sequence[Judgement],
    cases: Sequence[Case],
    *,
    require_kvm: bool,
    lost: Sequence[str] = (),
) -> Decision:
    """Decide on a run. It passes if every conformance test passed and every metric meets its target.

    Anything that needs KVM and was not judged is left out of the decision; with `require_kvm` it is a failure, so that
    a release cannot pass by skipping. There is no decision if a metric was not measured, a test could not judge,
    results are lost (see hornet.results.run.Run), or the run has no conformance results.
    """
    conformance = [case for case in cases if case.suite == CONFORMANCE]
    failures = [f"{case.module}::{case.name}: {case.message}" for case in conformance if case.outcome == "failed"]
    failures += [_sentence(spec, item) for item in judgements if item.verdict is Verdict.MISSES]
    emulated = [_sentence(spec, item) for item in judgements if item.needs_kvm]
    emulated += [f"{case.module}::{case.name}: {case.message}" for case in conformance if case.not_judged]
    unjudged = [
        _sentence(spec, item) for item in judgements if item.verdict in (Verdict.INVALID_RECORD, Verdict.NOT_MEASURED)
    ]
    unjudged += [f"{case.module}::{case.name}: {case.message}" for case in conformance if case.outcome == "error"]
    unjudged += lost
    if not any(case.outcome == "passed" for case in conformance):
        unjudged.append("conformance: none of its tests passed or failed in this run")
    if require_kvm:
        failures += emulated
    outcome = Outcome.FAILS if failures else Outcome.UNJUDGED if unjudged else Outcome.HOLDS
    return Decision(outcome, failures, unjudged, emulated)


def exit_code(pytest_exit_code: int, cases: Sequence[Case]) -> int:
    """The exit code of a finished pytest run, from its results: pytest's own 1 means a failure or an error.

    1 if a test failed, 0 if all passed or were skipped, 2 if anything could not be judged.
    """
    if pytest_exit_code not in (0, 1):
        return Outcome.UNJUDGED.exit_code
    if any(case.outcome == "failed" for case in cases):
        return Outcome.FAILS.exit_code
    judged = pytest_exit_code == 0 and not any(case.outcome == "error" for case in cases)
    return (Outcome.HOLDS if judged else Outcome.UNJUDGED).exit_code


def _sentence(spec: Spec, item: Judgement) -> str:
    label = f" ({item.record.label})" if item.record and item.record.label else ""
    return f"{spec.metrics[item.metric].title}{label}: {item.verdict}: {item.reason}"
