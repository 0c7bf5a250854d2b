"""The decision on a whole run: does it hold, does it not, or could it not be judged."""

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

    HOLDS = "holds"
    FAILS = "does not hold"
    UNJUDGED = "could not be judged"

    @property
    def exit_code(self) -> int:
        return {Outcome.HOLDS: 0, Outcome.FAILS: 1, Outcome.UNJUDGED: 2}[self]


@dataclass(frozen=True)
class Decision:
    """failures: what does not hold; unjudged: what is missing for a decision; emulated: what only a KVM lane
    can judge. Each entry is one sentence that names the thing."""

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
    """A run holds if every conformance test passed and every metric meets its target.

    What only a KVM lane can judge is left out of the decision, or is a failure with `require_kvm`: a release
    can't pass by skipping. A metric that was not measured, a test that could not judge, results that are
    lost (see hornet.results.run.Run), and a run without conformance results leave it unjudged.
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
        unjudged.append("conformance: no test of it has passed or failed in this run")
    if require_kvm:
        failures += emulated
    outcome = Outcome.FAILS if failures else Outcome.UNJUDGED if unjudged else Outcome.HOLDS
    return Decision(outcome, failures, unjudged, emulated)


def exit_code(pytest_exit_code: int, cases: Sequence[Case]) -> int:
    """The exit code of a finished pytest run, by its results: pytest's own 1 does not tell a failure from an error.

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
