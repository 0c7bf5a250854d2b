"""Decides whether a measured value meets its target; nothing else does.

Times and densities are judged in KVM lanes on a real processor only; emulated ones are shown, never judged.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

from hornet.results.bounds import CONFIDENCE, effective_samples, samples_needed, upper_bound_of_sessions
from hornet.results.compare import TIME_UNITS
from hornet.results.noise import noise_problems
from hornet.results.records import KNOWN, RAN, Record
from hornet.spec.measuring import NoiseLimits
from hornet.spec.model import Spec
from hornet.spec.targets import Metric


class Verdict(StrEnum):
    """The verdict on a metric."""

    MEETS = "meets target"
    MISSES = "misses target"
    EMULATED = "not judged: emulated"
    PLAN = "not judged: a plan"
    INVALID_RECORD = "not judged: invalid record"
    NOT_MEASURED = "not measured"

    @property
    def judged(self) -> bool:
        """Whether a value was compared with the target."""
        return self in (Verdict.MEETS, Verdict.MISSES)


@dataclass(frozen=True)
class Judgement:
    """The verdict on one record, or on a metric without a record.

    metric: the key in the spec. target: in the metric's unit. reason: as in `149.9 MB, at most 150 MB`.
    """

    metric: str
    target: float
    record: Record | None
    verdict: Verdict
    reason: str

    @property
    def needs_kvm(self) -> bool:
        """Whether a KVM lane would turn this into a verdict."""
        return self.verdict is Verdict.EMULATED


def judge(spec: Spec, records: Iterable[Record]) -> list[Judgement]:
    """Every target metric of the spec, in its order: one judgement per record of it, at least one per metric."""
    of_metric: dict[str, list[Record]] = {key: [] for key in spec.metrics}
    for record in records:
        if record.name in of_metric:
            of_metric[record.name].append(record)
    judgements: list[Judgement] = []
    for key, found in of_metric.items():
        judgements += [judge_record(spec, key, record) for record in found]
        if not found:
            target = spec.target(key)
            judgements.append(Judgement(key, target, None, Verdict.NOT_MEASURED, "this run has no record of it"))
    return judgements


def judge_record(spec: Spec, key: str, record: Record) -> Judgement:
    """Judge one record by the metric `key`, and by the tier of the image that was measured."""
    target = spec.target(key, str(record.dimensions.get("tier", "")))
    verdict, reason = _verdict(spec, spec.metrics[key], target, record)
    if noise := record_noise(record, spec.noise):
        reason += f"; on a noisy host: {noise}"
    return Judgement(key, target, record, verdict, reason)


def record_noise(record: Record, limits: NoiseLimits) -> str:
    """Why a time was measured on a noisy host; empty on a quiet one, and for anything but a time."""
    if record.noise is None or record.unit not in TIME_UNITS:
        return ""
    return "; ".join(noise_problems(record.noise, limits))


def noisy(records: Iterable[Record], limits: NoiseLimits) -> list[str]:
    """A sentence for each time that was measured on a noisy host."""
    return [
        f"{record.name}{f' ({record.label})' if record.label else ''}: {reason}"
        for record in records
        if (reason := record_noise(record, limits))
    ]


def _verdict(spec: Spec, metric: Metric, target: float, record: Record) -> tuple[Verdict, str]:
    if record.unit != metric.unit:
        return Verdict.INVALID_RECORD, f"recorded in {record.unit}, the target is in {metric.unit}"
    if record.direction != metric.direction:
        return Verdict.INVALID_RECORD, f"recorded as '{record.direction} is better', the target says {metric.direction}"
    if metric.needs == "kvm":
        lane = record.parsed_lane
        if lane is None:
            return Verdict.INVALID_RECORD, "recorded without a lane, which this metric needs"
        if not record.judges_time:
            what = f"{lane} in the lab: QEMU" if record.in_lab else str(lane)
            return Verdict.EMULATED, f"{what} emulates the processor; the target needs KVM"
    if record.unexplained_share > spec.perf.max_unexplained_share:
        allowed = f"expected at most {spec.perf.max_unexplained_share:.0%}"
        return Verdict.INVALID_RECORD, f"no phase explains {record.unexplained_share:.1%} of the time, {allowed}"
    if metric.must_run and record.dimensions.get(KNOWN) != RAN:
        return Verdict.PLAN, f"{format_significant(record.value)} {metric.unit} were extrapolated, not run"
    value, missing = _judged_value(metric, record)
    if value is None:
        return Verdict.INVALID_RECORD, missing
    bound = f"at {'most' if metric.direction == 'lower' else 'least'} {target:g} {metric.unit}"
    if value == math.inf:
        return Verdict.MISSES, f"{_failed(record)}, expected {bound}{_at(metric)}"
    found = f"{format_significant(value, target)} {metric.unit}{_at(metric)}"
    if metric.is_met(value, target):
        return Verdict.MEETS, f"{found}, {bound}"
    return Verdict.MISSES, f"{found}, expected {bound}"


def _judged_value(metric: Metric, record: Record) -> tuple[float | None, str]:
    """The value that must meet the target: the recorded one, or the bound of the metric's percentile on the bad side,
    infinite if failed repetitions reach it. None, and why, for too few samples.

    A repetition that failed is worse than any sample.
    """
    worst = math.inf if metric.direction == "lower" else -math.inf
    tried = [*record.samples, *(worst for _ in record.failures)]
    if metric.percentile is None and not record.failures:
        return record.value, ""
    if metric.percentile is None:
        median = statistics.median_low(tried) if metric.direction == "lower" else statistics.median_high(tried)
        return abs(median), ""
    # The bound from above of the values turned around is the bound from below.
    sign = 1 if metric.direction == "lower" else -1
    sessions = [[sign * value for value in session] for session in record.by_session(worst)]
    bound = upper_bound_of_sessions(sessions, metric.percentile)
    if bound is None:
        needed = samples_needed(metric.percentile)
        found = f"{len(tried)} samples"
        if len(sessions) > 1:
            effective = effective_samples(sessions, metric.percentile)
            found += f" in {len(sessions)} sessions, which count as {effective:.0f} independent ones,"
        return None, f"{found} are too few for p{metric.percentile}: expected at least {needed}"
    return (math.inf if math.isinf(bound) else sign * bound), ""


def _at(metric: Metric) -> str:
    return f" at p{metric.percentile}, with {CONFIDENCE:.0%} confidence" if metric.percentile else ""


def _failed(record: Record) -> str:
    first = record.failures[0]
    tried = len(record.samples) + len(record.failures)
    where = f", the first in {first.phase}" if first.phase else ""
    return f"{len(record.failures)} of {tried} repetitions failed{where}: {first.reason}"


def format_significant(value: float, beside: float | None = None) -> str:
    """`value` with three digits, or as many as distinguish it from `beside`: 150.02 beside 150 is not `150`."""
    digits = 3
    while beside not in (None, value) and digits < 16 and float(f"{value:.{digits}g}") == float(f"{beside:.{digits}g}"):
        digits += 1
    return f"{Decimal(f'{value:.{digits}g}'):f}"
