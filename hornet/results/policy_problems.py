"""What a run lacks of the demands that a policy makes beyond the requirements."""

from __future__ import annotations

from collections.abc import Iterable

from hornet.results.compare import INSTRUCTIONS, TIME_UNITS, Change, Comparison, compare_runs
from hornet.results.policy import Policy
from hornet.results.run import Run
from hornet.results.verdict import noisy
from hornet.spec.measuring import NoiseLimits

COMPARED = (Change.BETTER, Change.WORSE, Change.NONE_SHOWN)


def policy_problems(policy: Policy, run: Run, baseline: Run | None, limits: NoiseLimits) -> tuple[list[str], list[str]]:
    """Failures, and what is missing for a decision, by what the policy demands beyond the requirements."""
    failures: list[str] = []
    unjudged: list[str] = []
    if policy.max_load_per_core is not None:
        unjudged += _load(policy.max_load_per_core, run)
    if policy.require_quiet:
        unjudged += _noise(run, limits)
    if baseline is None:
        if policy.require_baseline or policy.max_regression_percent is not None:
            unjudged.append("baseline: the policy demands a comparison: name an earlier run with --baseline")
        return failures, unjudged
    comparisons = compare_runs(run.records, baseline.records)
    if not policy.instructions_may_grow:
        failures += _grown_instructions(comparisons, baseline.name)
    if policy.max_regression_percent is not None:
        failures += _regressions(policy.max_regression_percent, comparisons, baseline.name)
        unjudged += [f"baseline {baseline.name}: {problem}" for problem in baseline.lost]
        if not any(item.change in COMPARED for item in comparisons):
            unjudged.append(f"baseline {baseline.name}: nothing of it can be compared with this run")
    return failures, unjudged


def _grown_instructions(comparisons: Iterable[Comparison], baseline: str) -> Iterable[str]:
    for item in comparisons:
        if item.unit == INSTRUCTIONS and item.change is Change.WORSE and item.factor:
            label = f" ({item.label})" if item.label else ""
            yield f"{item.name}{label}: {(item.factor - 1) * 100:.3g} % more than {baseline}: {item.reason}"


def _load(max_load_per_core: float, run: Run) -> Iterable[str]:
    loads = [session.load_per_core for session in run.sessions]
    if not loads or None in loads:
        yield "host: the policy demands a quiet one, and this run has no record of its load"
    for load in loads:
        if load is not None and load > max_load_per_core:
            yield f"host: its load was {load:g} per core before the run, the policy allows {max_load_per_core:g}"


def _noise(run: Run, limits: NoiseLimits) -> Iterable[str]:
    yield from (f"host: the policy demands a quiet one: {sentence}" for sentence in noisy(run.records, limits))
    for record in run.records:
        if record.noise is None and record.unit in TIME_UNITS:
            yield f"host: the policy demands a quiet one, and {record.name} has no record of its noise"


def _regressions(max_percent: float, comparisons: Iterable[Comparison], baseline: str) -> Iterable[str]:
    for item in comparisons:
        if item.change is not Change.WORSE or not item.factor:
            continue
        percent = (max(item.factor, 1 / item.factor) - 1) * 100
        if percent > max_percent:
            label = f" ({item.label})" if item.label else ""
            yield f"{item.name}{label}: {percent:.3g} % worse than {baseline}, the policy allows {max_percent:g} %"
