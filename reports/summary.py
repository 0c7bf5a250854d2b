"""The report as data: page, Markdown, JSON and terminal are all written from this one object."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from hornet.results.compare import Comparison, SampleSummary, compare_runs, spread
from hornet.results.density import Plan, plans
from hornet.results.gate import Decision, Demands, decide
from hornet.results.outcomes import Case, Result
from hornet.results.records import Record
from hornet.results.run import Run
from hornet.results.verdict import Judgement, Verdict, judge
from hornet.spec.model import Spec

SCHEMA = 2


@dataclass(frozen=True)
class MetricRow:
    """A target metric as a row of a table. Values are in `unit`.

    improvement: how many times better than the Ubuntu baseline; None if the value was not judged.
    """

    metric: str
    title: str
    label: str
    unit: str
    direction: str
    baseline: float
    target: float
    stretch: float | None
    value: float | None
    lane: str | None
    improvement: float | None
    verdict: Verdict
    reason: str

    @property
    def baseline_text(self) -> str:
        return f"{self.baseline:g} {self.unit}"

    @property
    def target_text(self) -> str:
        return f"{'≤' if self.direction == 'lower' else '≥'} {self.target:g} {self.unit}"


@dataclass(frozen=True)
class Module:
    """The results of one test module, as in `conformance/test_tools`."""

    name: str
    passed: int
    failed: int
    errors: int
    not_judged: int
    time_s: float


@dataclass(frozen=True)
class Distribution:
    """The samples of one record, summarized."""

    name: str
    label: str
    lane: str | None
    unit: str
    spread: SampleSummary


@dataclass(frozen=True)
class Report:
    """The content of a report. headline: the decision as sentences. titles: of metrics, by key."""

    schema: int
    run: str
    baseline: str | None
    lanes: list[str]
    titles: dict[str, str]
    headline: list[str]
    decision: Decision
    metrics: list[MetricRow]
    comparisons: list[Comparison]
    distributions: list[Distribution]
    capacity: list[Plan]
    modules: list[Module]
    cases: list[Case]
    artifacts: dict[str, dict[str, Any]]
    host: dict[str, Any]
    problems: list[str]
    records: list[Record]

    @property
    def not_passed(self) -> list[Case]:
        """The tests that did not pass, failures first."""
        results = (Result.FAILED, Result.ERROR, Result.NOT_JUDGED)
        return [case for result in results for case in self.cases if case.result is result]


def summarize(run: Run, spec: Spec, demands: Demands, baseline: Run | None = None) -> Report:
    """Decide on a run and compare it with a baseline."""
    judgements = judge(spec, run.records)
    decision = decide(spec, run, demands, baseline)
    planned, unplanned = plans(spec.capacity, run.records)
    problems = [*run.problems, *unplanned]
    if baseline:
        problems += [f"baseline {baseline.name}: {problem}" for problem in baseline.problems]
    return Report(
        schema=SCHEMA,
        run=run.name,
        baseline=baseline.name if baseline else None,
        lanes=run.lanes,
        titles=_titles(spec, run.records),
        headline=[f"{decision.headline.capitalize()}.", *_metric_sentences(spec, judgements)],
        decision=decision,
        metrics=metric_rows(spec, judgements),
        comparisons=compare_runs(run.records, baseline.records) if baseline else [],
        distributions=[
            Distribution(record.name, record.label, record.lane, record.unit, spread(record.samples))
            for record in run.records
            if len(record.samples) > 1
        ],
        capacity=planned,
        modules=_modules(run.cases),
        cases=run.cases,
        artifacts=run.artifacts,
        host=run.host,
        problems=problems,
        records=run.records,
    )


def _titles(spec: Spec, records: Sequence[Record]) -> dict[str, str]:
    """The spec's titles of what is measured; any other quantity gets its name in words."""
    in_words = {record.name: record.name.replace("_", " ").capitalize() for record in records}
    return in_words | {key: it.title for key, it in {**spec.measurements, **spec.metrics}.items()}


def metric_rows(spec: Spec, judgements: Sequence[Judgement]) -> list[MetricRow]:
    """One row per judgement, in the spec's order of metrics."""
    return [_metric_row(spec, item) for item in judgements]


def _metric_row(spec: Spec, item: Judgement) -> MetricRow:
    metric, record = spec.metrics[item.metric], item.record
    fit = record if item.verdict is not Verdict.INVALID_RECORD else None
    improvement = None
    if fit and fit.value and item.verdict.judged:
        lower = metric.direction == "lower"
        improvement = metric.baseline / fit.value if lower else fit.value / metric.baseline
    return MetricRow(
        metric=item.metric,
        title=metric.title,
        label=record.label if record else "",
        unit=metric.unit,
        direction=metric.direction,
        baseline=metric.baseline,
        target=item.target,
        stretch=metric.stretch,
        value=fit.value if fit else None,
        lane=record.lane if record else None,
        improvement=improvement,
        verdict=item.verdict,
        reason=item.reason,
    )


def _metric_sentences(spec: Spec, judgements: Sequence[Judgement]) -> list[str]:
    words = {
        Verdict.MEETS: "Targets met",
        Verdict.MISSES: "Targets missed",
        Verdict.EMULATED: "Measured but not judged, because they need KVM",
        Verdict.INVALID_RECORD: "Not judged, because a record is invalid",
        Verdict.NOT_MEASURED: "Not measured",
    }
    sentences = []
    for verdict, text in words.items():
        titles = dict.fromkeys(spec.metrics[item.metric].title for item in judgements if item.verdict is verdict)
        if titles:
            sentences.append(f"{text}: {', '.join(titles)}.")
    return sentences


def _modules(cases: Sequence[Case]) -> list[Module]:
    by_name: dict[str, list[Case]] = {}
    for case in cases:
        by_name.setdefault(case.module, []).append(case)
    return [
        Module(
            name=name,
            passed=sum(case.result is Result.PASSED for case in found),
            failed=sum(case.result is Result.FAILED for case in found),
            errors=sum(case.result is Result.ERROR for case in found),
            not_judged=sum(case.result is Result.NOT_JUDGED for case in found),
            time_s=sum(case.duration_s for case in found),
        )
        for name, found in by_name.items()
    ]
