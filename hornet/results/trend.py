"""Where the level of a series changed: ruptures proposes places, a rank test keeps those that samples show.

Places come from penalized optimal segmentation (PELT's criterion) of the series' normal scores, so that single outliers
count little and the unit does not matter. Each place is then tested like a comparison of two runs: a Mann-Whitney test
and a minimum factor (hornet.results.compare) between the runs since the change before it and those until the next. The
least certain place that fails is dropped and its neighbours are tested again, until all that are left pass.

Sources: C. Truong, L. Oudre, N. Vayatis, Selective review of offline change point detection methods, Signal Processing
167 (2020); R. Killick, P. Fearnhead, I. A. Eckley, Optimal detection of changepoints, JASA 107 (2012).
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from hornet.results.compare import Change, rank_test
from hornet.results.history import Point, Series
from hornet.results.records import Record

# Runs between two changes, at least: what a comparison needs (hornet.results.compare).
MIN_RUNS = 7
# Times the logarithm of the number of runs. 2 would be the Bayesian information criterion, with which 3 % of series
# without a change show one; with 3 it is 0.3 % (tests/selftest/test_trend.py).
PENALTY = 3.0


@dataclass(frozen=True)
class ChangePoint:
    """A change of level. point: the first run after it. before, after: medians, in the series' unit.

    factor: after divided by before; None for a median of 0. new_subject: what of kernel, image and snapshot is another
    one than in the run before; empty if the subject is the same, so that host or suite changed.
    """

    index: int
    point: Point
    before: float
    after: float
    change: Change
    factor: float | None
    p_value: float | None
    new_subject: tuple[str, ...]


def change_points(series: Series) -> list[ChangePoint]:
    """The changes of a series, oldest first; none if it has fewer than twice MIN_RUNS runs."""
    values = [point.value for point in series.points]
    places = _proposed(values)
    while places:
        tests = [_test(series, *around) for around in _around(places, len(values))]
        worst = max(range(len(places)), key=lambda at: _doubt(tests[at]))
        if _doubt(tests[worst]) == 0:
            return [
                _change_point(series, around, test)
                for around, test in zip(_around(places, len(values)), tests, strict=True)
            ]
        places.pop(worst)
    return []


def _proposed(values: Sequence[float]) -> list[int]:
    if len(values) < 2 * MIN_RUNS:
        return []
    import ruptures
    from scipy.stats import norm, rankdata

    scores = norm.ppf(rankdata(values) / (len(values) + 1)).reshape(-1, 1)
    if not scores.std():
        return []
    scores /= scores.std()  # equal values have equal ranks, which lowers the variance
    search = ruptures.KernelCPD(kernel="linear", min_size=MIN_RUNS).fit(scores)
    return [int(place) for place in search.predict(pen=PENALTY * math.log(len(values)))[:-1]]


def _around(places: Sequence[int], end: int) -> list[tuple[int, int, int]]:
    """Each place with the one before and the one after it."""
    bounds = [0, *places, end]
    return list(zip(bounds, bounds[1:], bounds[2:], strict=False))


def _test(series: Series, first: int, place: int, last: int) -> tuple[Change, float]:
    """The change at a place, and its p-value."""
    change, _, p_value, _ = rank_test(_record(series, place, last), _record(series, first, place))
    return change, 1.0 if p_value is None else p_value


def _doubt(test: tuple[Change, float]) -> float:
    """0 for a change that is shown; otherwise more for a larger p-value."""
    change, p_value = test
    return 0.0 if change in (Change.BETTER, Change.WORSE) else 1 + p_value


def _record(series: Series, first: int, last: int) -> Record:
    """The values of runs as the samples of one record."""
    values = [point.value for point in series.points[first:last]]
    return Record(
        name=series.metric,
        value=statistics.median_low(values),
        unit=series.unit,
        direction=series.direction,
        lane=series.lane,
        host=dict(series.host),
        samples=values,
    )


def _change_point(series: Series, around: tuple[int, int, int], test: tuple[Change, float]) -> ChangePoint:
    first, place, last = around
    before, after = _record(series, first, place).value, _record(series, place, last).value
    old, new = series.points[place - 1].subject, series.points[place].subject
    return ChangePoint(
        index=place,
        point=series.points[place],
        before=before,
        after=after,
        change=test[0],
        factor=after / before if before else None,
        p_value=test[1],
        new_subject=tuple(sorted(key for key in old.keys() | new.keys() if old.get(key) != new.get(key))),
    )
