"""Compare a run with an earlier one: a rank test, an effect size and a minimum factor, never a bare limit."""

from __future__ import annotations

import math
import statistics
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from hornet.results.bounds import upper_bound_of_sessions
from hornet.results.records import Record

# Many metrics are compared at once, so each comparison needs a smaller error than the usual 5 %.
ALPHA = 0.002
TIME_UNITS = frozenset({"ns", "us", "ms", "s"})
# A significant difference below this factor is too small to act on.
MIN_FACTOR = 1.05
# Instructions of a guest. They barely depend on the host's load, so a smaller difference counts: in comparisons of 7
# rounds each, a growth of 3 % is found and none is reported without one (error rates: tests/selftest/test_cost.py).
INSTRUCTIONS = "M instructions"
MIN_INSTRUCTIONS_FACTOR = 1.015
# The part of the host that instructions depend on: another QEMU emulates another processor.
EMULATOR = "qemu"
SHOWN_PARTS = 3


class Change(StrEnum):
    """The result of a comparison."""

    BETTER = "better"
    WORSE = "worse"
    NONE_SHOWN = "no difference shown"
    TOO_FEW = "too few samples"
    NOT_COMPARABLE = "not comparable"
    UNMATCHED = "only in one run"


@dataclass(frozen=True)
class Comparison:
    """One quantity in two runs.

    factor: value divided by the baseline's value. p_value: of the two-sided Mann-Whitney test. vargha_delaney_a12: the
    probability that a sample of this run is larger than one of the baseline (0.5: no difference). All three are None
    if no test was made.
    """

    name: str
    label: str
    unit: str
    lane: str | None
    value: float | None
    baseline: float | None
    change: Change
    reason: str
    factor: float | None = None
    p_value: float | None = None
    vargha_delaney_a12: float | None = None


@dataclass(frozen=True)
class SampleSummary:
    """A distribution in a few numbers. A percentile is None if there are too few samples beyond it.

    p90_bound, p99_bound: with 95 % confidence, the percentile is at most this (hornet.results.bounds).
    """

    count: int
    smallest: float
    median: float
    p90: float | None
    p90_bound: float | None
    p99: float | None
    p99_bound: float | None
    largest: float


def spread(sessions: Sequence[Sequence[float]]) -> SampleSummary:
    """Summarize the samples of one or several sessions; the median is one of them, as in a Record.

    Raises StatisticsError for no samples.
    """
    ordered = sorted(sample for session in sessions for sample in session)
    median = statistics.median_low(ordered)
    return SampleSummary(
        count=len(ordered),
        smallest=ordered[0],
        median=median,
        p90=percentile(ordered, 90),
        p90_bound=upper_bound_of_sessions(sessions, 90),
        p99=percentile(ordered, 99),
        p99_bound=upper_bound_of_sessions(sessions, 99),
        largest=ordered[-1],
    )


def percentile(ordered: Sequence[float], percent: int) -> float | None:
    """The nearest-rank percentile of sorted samples; None if there are fewer than 100/(100-percent) of them."""
    if len(ordered) * (100 - percent) < 100:
        return None
    return ordered[math.ceil(len(ordered) * percent / 100) - 1]


def compare_runs(records: Sequence[Record], baseline: Sequence[Record]) -> list[Comparison]:
    """Every quantity of either run, matched by name, lane and dimensions; those of this run come first."""
    old, new = _by_identity(baseline), _by_identity(records)
    of_mine = [
        _compare_measurements(found, old[key]) if key in old else _one_sided(found[0], mine=True)
        for key, found in new.items()
    ]
    return of_mine + [_one_sided(found[0], mine=False) for key, found in old.items() if key not in new]


def _by_identity(records: Sequence[Record]) -> dict[Hashable, list[Record]]:
    found: dict[Hashable, list[Record]] = {}
    for record in records:
        found.setdefault(record.identity, []).append(record)
    return found


def _compare_measurements(mine: Sequence[Record], theirs: Sequence[Record]) -> Comparison:
    """What a run measured several times can't be compared: which one counted would depend on the order of files."""
    if len(mine) == len(theirs) == 1:
        return compare(mine[0], theirs[0])
    reason = f"measured {len(mine)} times in this run, {len(theirs)} times in the baseline, expected once in each"
    known = mine[0]
    return Comparison(
        name=known.name,
        label=known.label,
        unit=known.unit,
        lane=known.lane,
        value=None,
        baseline=None,
        change=Change.NOT_COMPARABLE,
        reason=reason,
    )


def compare(record: Record, baseline: Record) -> Comparison:
    """Two records of the same thing."""
    change, reason, p_value, vargha_delaney_a12 = _judge(record, baseline)
    if change in (Change.BETTER, Change.WORSE) and (parts := changed_parts(record, baseline)):
        reason += f"; changed most: {', '.join(parts)}"
    return Comparison(
        name=record.name,
        label=record.label,
        unit=record.unit,
        lane=record.lane,
        value=record.value,
        baseline=baseline.value,
        change=change,
        reason=reason,
        factor=record.value / baseline.value if baseline.value else None,
        p_value=p_value,
        vargha_delaney_a12=vargha_delaney_a12,
    )


def _judge(record: Record, baseline: Record) -> tuple[Change, str, float | None, float | None]:
    if record.unit != baseline.unit:
        return Change.NOT_COMPARABLE, f"{record.unit} against {baseline.unit}", None, None
    if record.machine and baseline.machine and record.machine != baseline.machine:
        difference = _host_difference(record.machine, baseline.machine)
        return Change.NOT_COMPARABLE, f"another virtual machine: {difference}", None, None
    # A property of a file: the same on every host, without chance. A time is none, also without a VM's lane.
    if record.lane is None and record.unit not in TIME_UNITS:
        change = _direction(record, baseline)
        return change, "a property of the files: compared without a test", None, None
    host, other = (relevant_host(each) for each in (record, baseline))
    if host != other:
        return Change.NOT_COMPARABLE, f"another host: {_host_difference(host, other)}", None, None
    return rank_test(record, baseline)


def rank_test(record: Record, baseline: Record) -> tuple[Change, str, float | None, float | None]:
    """The change, its reason, p-value and A12 by the samples of two records, whatever their lanes and hosts."""
    from scipy.stats import mannwhitneyu

    values, others = _independent(record, baseline)
    mine, theirs = len(values), len(others)
    # With fewer samples, even completely separated ones would not reach ALPHA.
    if 2 / math.comb(mine + theirs, mine) > ALPHA:
        return Change.TOO_FEW, f"{mine} and {theirs} {'sessions' if record.sessions else 'samples'}", None, None
    test = mannwhitneyu(values, others, alternative="two-sided")
    p_value, vargha_delaney_a12 = float(test.pvalue), float(test.statistic) / (mine * theirs)
    if p_value > ALPHA:
        return Change.NONE_SHOWN, f"p = {p_value:.2g}, above {ALPHA:g}", p_value, vargha_delaney_a12
    change = _direction(record, baseline)
    reason = f"p = {p_value:.2g}"
    if change is Change.NONE_SHOWN:
        reason += f", but less than a factor of {_min_factor(record):g}"
    return change, reason, p_value, vargha_delaney_a12


def _independent(record: Record, baseline: Record) -> tuple[list[float], list[float]]:
    """What a rank test may take as independent: the medians of sessions if both have several, else the samples."""
    both = [each.by_session() for each in (record, baseline)]
    if min(map(len, both)) < 2:
        return record.samples, baseline.samples
    mine, theirs = ([statistics.median(session) for session in sessions] for sessions in both)
    return mine, theirs


def _direction(record: Record, baseline: Record) -> Change:
    low, high = sorted((record.value, baseline.value))
    if high <= low * _min_factor(record):
        return Change.NONE_SHOWN
    grew = record.value > baseline.value
    return Change.WORSE if grew == (record.direction == "lower") else Change.BETTER


def changed_parts(record: Record, baseline: Record) -> list[str]:
    """The parts that changed most, as in `userland 107.6 → 118.4 (+10 %)`; empty if a value has only one part."""
    if min(len(record.parts), len(baseline.parts)) < 2:
        return []
    names = list(dict.fromkeys([*record.parts, *baseline.parts]))
    pairs = {name: (baseline.parts.get(name, 0.0), record.parts.get(name, 0.0)) for name in names}
    most = sorted(
        (name for name in names if len(set(pairs[name])) == 2), key=lambda name: -abs(pairs[name][1] - pairs[name][0])
    )
    return [_changed_part(name, *pairs[name]) for name in most[:SHOWN_PARTS]]


def _changed_part(name: str, before: float, after: float) -> str:
    percent = f"{(after / before - 1) * 100:+.2g} %" if before else "new"
    return f"{name} {before:.4g} → {after:.4g} ({percent})"


def _min_factor(record: Record) -> float:
    return MIN_INSTRUCTIONS_FACTOR if record.unit == INSTRUCTIONS else MIN_FACTOR


def relevant_host(record: Record) -> dict[str, Any]:
    """What of a record's host its value depends on."""
    return {EMULATOR: record.host.get(EMULATOR)} if record.unit == INSTRUCTIONS else record.host


def _host_difference(mine: dict[str, Any], theirs: dict[str, Any]) -> str:
    differing = sorted(key for key in mine.keys() | theirs.keys() if mine.get(key) != theirs.get(key))
    return "; ".join(f"{key} {mine.get(key)} instead of {theirs.get(key)}" for key in differing)


def _one_sided(known: Record, *, mine: bool) -> Comparison:
    return Comparison(
        name=known.name,
        label=known.label,
        unit=known.unit,
        lane=known.lane,
        value=known.value if mine else None,
        baseline=None if mine else known.value,
        change=Change.UNMATCHED,
        reason="not measured in the baseline" if mine else "not measured in this run",
    )
