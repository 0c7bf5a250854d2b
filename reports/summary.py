"""The report as data: page, Markdown, JSON and terminal are all written from this one object."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from hornet.capacity.at_rest import Plan, plans
from hornet.results.compare import Change, Comparison, SampleSummary, compare_runs, spread
from hornet.results.gate import Decision, Demands, decide
from hornet.results.history import History, link_to
from hornet.results.measured_baseline import MeasuredBaseline, baseline_of
from hornet.results.outcomes import WORST_FIRST, Case, Result
from hornet.results.records import DISTRO, Direction, Record
from hornet.results.requirements import RequirementRow
from hornet.results.rerun import Again, ran_again
from hornet.results.run import Run
from hornet.results.run_info import Session
from hornet.results.verdict import Judgement, Verdict, judge, noisy
from hornet.spec.model import Spec
from hornet.spec.rootfs import BASELINE
from hornet.text import one_line
from hornet.vm.life import BOOTED

SCHEMA = 3
REMARK = "remark"
HAZARD = "hazard-"
# Why a row has no measured baseline.
NOT_MEASURED, NO_SUCH_KERNEL, IS_BASELINE = "not measured", "no kernel of it is built", "this run"


@dataclass(frozen=True)
class RunValue:
    """The value of a metric in one run of its history. link: from this report to that of the run."""

    run: str
    started: str
    value: float
    link: str


@dataclass(frozen=True)
class MeasuredValue:
    """The value of the baseline image in a run of it. improvement: how many times better this run's value is; None
    for a value of 0. link: from this report to that of the run."""

    run: str
    value: float
    improvement: float | None
    link: str


@dataclass(frozen=True)
class MetricRow:
    """A target metric as a row of a table. Values are in `unit`.

    baseline: the Ubuntu baseline as the guide states it. improvement: how many times better than that; None if the
    value was not judged. measured: the suite's own baseline image in the same lane, on the same host, in a VM of the
    same size. not_measured: why there is none. stored, change: the value of the run that is compared with, and the
    result. history: the latest runs of the same lane, host and tier, oldest first, this one last; empty if none are
    known.
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
    measured: MeasuredValue | None = None
    not_measured: str = ""
    stored: float | None = None
    change: Change | None = None
    history: list[RunValue] = field(default_factory=list)

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
    """The samples of one record, summarized. first: the first one, which may have warmed the caches for the others."""

    name: str
    label: str
    lane: str | None
    unit: str
    first: float
    spread: SampleSummary


@dataclass(frozen=True)
class HazardRow:
    """A hazard of clones with its result in each lane; None where no test of it ran."""

    id: str
    text: str
    results: dict[str, Result | None]


@dataclass(frozen=True)
class Conditions:
    """What values depend on beside the subject: load of the host before each session, overlays, repetitions.

    vmms: the version of the VMM of each lane. max_load_per_core: what the policy allows; None for any. noisy: a
    sentence for each time that was measured on a noisy host.
    """

    sessions: list[Session]
    max_load_per_core: float | None
    overlays: list[str]
    repetitions: dict[str, dict[str, float]]
    vmms: dict[str, str]
    noisy: list[str]


@dataclass(frozen=True)
class Report:
    """The content of a report. headline: the decision as sentences. titles: of metrics, by key.

    ran_again: tests that ran more than once, such as flaky ones, a sentence each. measure_baseline_with: the command
    that measures the baseline image in this run's lane.
    """

    schema: int
    run: str
    baseline: str | None
    lanes: list[str]
    titles: dict[str, str]
    headline: list[str]
    decision: Decision
    ran_again: list[tuple[Again, str]]
    metrics: list[MetricRow]
    measure_baseline_with: str
    comparisons: list[Comparison]
    distributions: list[Distribution]
    capacity: list[Plan]
    hazards: list[HazardRow]
    modules: list[Module]
    cases: list[Case]
    conditions: Conditions
    artifacts: dict[str, dict[str, Any]]
    host: dict[str, Any]
    problems: list[str]
    records: list[Record]

    @property
    def reasons(self) -> list[tuple[str, str]]:
        """Why the decision is what it is: the kind of each reason, and a sentence. What blocks stands first."""
        decision = self.decision
        return [
            *((Result.FAILED, sentence) for sentence in decision.failures),
            *self.ran_again,
            *((Result.NOT_JUDGED, sentence) for sentence in decision.unjudged),
            *((Result.WAIVED, f"{row.id}: {row.reason}") for row in decision.waived),
            *((REMARK, sentence) for sentence in decision.remarks),
        ]

    @property
    def not_passed(self) -> list[Case]:
        """The tests that did not pass, failures first."""
        results = (Result.FAILED, Result.ERROR, Result.NOT_JUDGED)
        return [case for result in results for case in self.cases if case.result is result]


def summarize(
    run: Run,
    spec: Spec,
    demands: Demands,
    baseline: Run | None = None,
    history: History | None = None,
    measured: Sequence[MeasuredBaseline] = (),
) -> Report:
    """Decide on a run and compare it with a baseline, with the runs before it, and with the measured baseline image."""
    judgements = judge(spec, run.records)
    decision = decide(spec, run, demands, baseline)
    planned, unplanned = plans(spec.capacity, run.records)
    problems = [*run.problems, *unplanned]
    if baseline:
        problems += [f"baseline {baseline.name}: {problem}" for problem in baseline.problems]
    if history and history.problems:
        # Old runs that crashed are no fault of this one: hornetos trend names each.
        problems.append(
            f"history: {len(history.problems)} of the latest runs or values are left out, the first of them: "
            f"{history.problems[0]}"
        )
    comparisons = compare_runs(run.records, baseline.records) if baseline else []
    return Report(
        schema=SCHEMA,
        run=run.name,
        baseline=baseline.name if baseline else None,
        lanes=run.lanes,
        titles=_titles(spec, run.records),
        headline=[f"{decision.headline.capitalize()}.", *_life(run), *_metric_sentences(spec, judgements)],
        decision=decision,
        ran_again=ran_again(run),
        metrics=[
            _with_measured(_beside(row, item, comparisons, history, run), item, spec, measured, run)
            for row, item in zip(metric_rows(spec, judgements), judgements, strict=True)
        ],
        measure_baseline_with=_command(run),
        comparisons=comparisons,
        distributions=[
            Distribution(
                record.name, record.label, record.lane, record.unit, record.samples[0], spread(record.by_session())
            )
            for record in run.records
            if len(record.samples) > 1
        ],
        capacity=planned,
        hazards=_hazards(run, decision.rows),
        modules=_modules(run.cases),
        cases=run.cases,
        conditions=_conditions(run, spec, demands),
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
    if fit and item.verdict.judged:
        improvement = _times_better(fit.value, metric.baseline, metric.direction)
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


def _beside(
    row: MetricRow, item: Judgement, comparisons: Sequence[Comparison], history: History | None, run: Run
) -> MetricRow:
    """The row with the same quantity in the stored baseline and in the latest runs."""
    record = item.record
    if record is None or row.value is None:
        return row
    same = [it for it in comparisons if (it.name, it.lane, it.label) == (record.name, record.lane, record.label)]
    series = [it for it in history.series if it.of_record(record, run.tier)] if history else []
    return replace(
        row,
        stored=same[0].baseline if same else None,
        change=same[0].change if same else None,
        history=[
            RunValue(point.run, point.started, point.value, link_to(point.directory, run.directory))
            for one in series
            for point in one.points
        ],
    )


def _times_better(value: float, other: float, direction: Direction) -> float | None:
    """How many times better a value is than another; None if one of them is 0."""
    if not value or not other:
        return None
    return other / value if direction == "lower" else value / other


def _with_measured(
    row: MetricRow, item: Judgement, spec: Spec, measured: Sequence[MeasuredBaseline], run: Run
) -> MetricRow:
    """The row with the same quantity of the baseline image, or with the reason why there is none."""
    record = item.record
    if record is None or row.value is None:
        return row
    if spec.metrics[item.metric].baseline_of != "image":
        return replace(row, not_measured=NO_SUCH_KERNEL)
    if record.dimensions.get(DISTRO) == BASELINE:
        return replace(row, not_measured=IS_BASELINE)
    found = baseline_of(record, measured)
    if found is None:
        return replace(row, not_measured=NOT_MEASURED)
    value = found.record.value
    times = _times_better(row.value, value, record.direction)
    link = link_to(found.directory, run.directory)
    return replace(row, measured=MeasuredValue(one_line(found.directory.name), value, times, link))


def _command(run: Run) -> str:
    lanes = [f" --lane {lane}" for lane in run.lanes]
    return f"hornetos run --distro {BASELINE}{lanes[0] if len(lanes) == 1 else ''}"


def _hazards(run: Run, rows: Sequence[RequirementRow]) -> list[HazardRow]:
    cases = [case for case in run.cases if any(key.startswith(HAZARD) for key in case.requirements)]
    lanes = list(dict.fromkeys(case.lane for case in cases if case.lane))
    return [
        HazardRow(row.id, row.text, {lane: _worst(row.id, lane, cases) for lane in lanes})
        for row in rows
        if row.id.startswith(HAZARD) and lanes
    ]


def _worst(requirement: str, lane: str, cases: Sequence[Case]) -> Result | None:
    found = [case.result for case in cases if requirement in case.requirements and case.lane == lane]
    return min(found, key=WORST_FIRST.index, default=None)


def _conditions(run: Run, spec: Spec, demands: Demands) -> Conditions:
    lanes = dict.fromkeys([*run.lanes, *(case.lane for case in run.cases if case.lane)])
    programs = {lane: (lane.partition("/")[0], run.host.get(lane.partition("/")[0])) for lane in lanes}
    return Conditions(
        sessions=run.sessions,
        max_load_per_core=demands.policy.max_load_per_core,
        overlays=run.info.overlays if run.info else [],
        repetitions=spec.perf.model_dump(include={"kvm", "emulated"}),
        vmms={lane: f"{name} {version}" for lane, (name, version) in programs.items() if version},
        noisy=noisy(run.records, spec.noise),
    )


def _life(run: Run) -> list[str]:
    booted = run.info and run.info.life == BOOTED
    return ["Guests were judged as they had booted, not as they are restored."] if booted else []


def _metric_sentences(spec: Spec, judgements: Sequence[Judgement]) -> list[str]:
    words = {
        Verdict.MEETS: "Targets met",
        Verdict.MISSES: "Targets missed",
        Verdict.EMULATED: "Measured but not judged, because they need KVM",
        Verdict.PLAN: "Not judged, because they were extrapolated",
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
