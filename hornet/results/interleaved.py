"""Is B worse than A? Sessions of both, interleaved in blocks of random order, and an error rate for all rows together.

A block is one session of A and one of B, beside each other in time. Without a difference, the two of a block could be
exchanged: the p-value is the share of exchanges whose ratio is as far from 1 as the measured one. That is exact for
any noise and for any statistic, a tail included. All values of a block are first divided by their geometric mean, so
that a host that slows down during the run makes no difference. Holm's correction keeps the stated rate over all rows.
The interval is a hierarchical bootstrap: of blocks, and of the samples within their sessions.

Sources: T. Kalibera, R. Jones, Rigorous benchmarking in reasonable time (ISMM 2013); S. Holm, A simple sequentially
rejective multiple test procedure, Scandinavian Journal of Statistics 6 (1979).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from hornet.results.bounds import CONFIDENCE
from hornet.results.compare import Change
from hornet.spec.measuring import Comparing

MEDIAN = 50
# As many ratios are as far from 1 as the measured one, up to the rounding of floating point.
TOLERANCE = 1e-12

Values: TypeAlias = NDArray[np.float64]


@dataclass(frozen=True)
class Sides:
    """One quantity, in `unit`, of both sides. Shape of each: blocks, samples in a session. Lower is better."""

    unit: str
    min_factor: float
    a: Values
    b: Values


@dataclass(frozen=True)
class Row:
    """One percentile of one quantity, a and b as measured. ratio: B divided by A with each block's own level removed,
    and its 95 % interval from `low` to `high`.

    p_value: of this row alone; adjusted: for all rows. detectable: the smallest ratio above 1 that so many blocks would
    have found, with the power of the plan.
    """

    name: str
    unit: str
    percentile: int
    a: float
    b: float
    ratio: float
    low: float
    high: float
    p_value: float
    adjusted: float
    detectable: float
    change: Change


def blocks_needed(rows: int, error_rate: float) -> int:
    """With fewer blocks, not even blocks that all agree would be significant among so many rows."""
    return math.ceil(math.log2(2 * rows / error_rate))


def compare_sides(quantities: Mapping[str, Sides], plan: Comparing, seed: int) -> list[Row]:
    """A row for the median and for the plan's tail of each quantity.

    seed: of the resampling, so that the answer can be repeated. Raises ValueError for values that are not positive.
    """
    chance = np.random.default_rng(seed)
    percentiles = (MEDIAN, plan.tail_percentile)
    tests = len(quantities) * len(percentiles)
    rows = [
        _row(name, sides, percent, plan, tests, chance) for name, sides in quantities.items() for percent in percentiles
    ]
    adjusted = _holm([row.p_value for row in rows])
    factors = [sides.min_factor for sides in quantities.values() for _ in percentiles]
    return [
        replace(row, adjusted=p_value, change=_change(row.ratio, p_value, factor, plan))
        for row, p_value, factor in zip(rows, adjusted, factors, strict=True)
    ]


def false_alarm_rate(quantities: Mapping[str, Sides], plan: Comparing, seed: int) -> float:
    """The share of comparisons that report a difference where there is none.

    Both sides measured the same thing. Each of plan.trials comparisons draws its blocks from the measured ones, and
    which session is A.
    """
    chance = np.random.default_rng(seed)
    alarms = 0
    for trial in range(plan.trials):
        drawn = {name: _exchanged(sides, chance) for name, sides in quantities.items()}
        alarms += any(row.change is not Change.NONE_SHOWN for row in compare_sides(drawn, plan, seed + trial))
    return alarms / plan.trials


def _exchanged(sides: Sides, chance: np.random.Generator) -> Sides:
    count = len(sides.a)
    blocks, swap = chance.integers(count, size=count), chance.integers(2, size=(count, 1)) == 1
    a, b = sides.a[blocks], sides.b[blocks]
    return replace(sides, a=np.where(swap, b, a), b=np.where(swap, a, b))


def _row(name: str, sides: Sides, percent: int, plan: Comparing, tests: int, chance: np.random.Generator) -> Row:
    from scipy.stats import norm

    for values in (sides.a, sides.b):
        if not (np.isfinite(values).all() and (values > 0).all()):
            raise ValueError(f"{name}: {values.min():g}, expected positive, finite values")
    a, b = float(_statistic(sides.a, percent)), float(_statistic(sides.b, percent))
    sides = _levelled(sides)
    ratios = _resampled(sides, percent, plan.resamples, chance)
    low, high = np.quantile(ratios, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    needed = norm.isf(plan.error_rate / tests / 2) + norm.isf(1 - plan.power)
    p_value = _p_value(sides, percent, plan.resamples, chance)
    return Row(
        name=name,
        unit=sides.unit,
        percentile=percent,
        a=a,
        b=b,
        ratio=math.exp(float(_log_ratio(sides.a, sides.b, percent))),
        low=math.exp(low),
        high=math.exp(high),
        p_value=p_value,
        adjusted=p_value,
        detectable=max(math.exp(needed * float(ratios.std())), sides.min_factor),
        change=Change.NONE_SHOWN,
    )


def _levelled(sides: Sides) -> Sides:
    both = np.concatenate([sides.a, sides.b], axis=1)
    level = np.exp(np.log(both).mean(axis=1, keepdims=True))
    return replace(sides, a=sides.a / level, b=sides.b / level)


def _statistic(values: Values, percent: int) -> Values:
    """The nearest-rank percentile over the last two axes: blocks and samples."""
    flat = values.reshape(*values.shape[:-2], -1)
    return np.asarray(np.quantile(flat, percent / 100, axis=-1, method="inverted_cdf"))


def _log_ratio(a: Values, b: Values, percent: int) -> Values:
    return np.asarray(np.log(_statistic(b, percent)) - np.log(_statistic(a, percent)))


def _p_value(sides: Sides, percent: int, resamples: int, chance: np.random.Generator) -> float:
    """The share of exchanges within blocks that give a ratio as far from 1: of all, or of as many as resamples."""
    count = len(sides.a)
    exact = 2**count <= resamples
    if exact:
        swaps = (np.arange(2**count)[:, None] >> np.arange(count) & 1).astype(bool)
    else:
        swaps = chance.integers(2, size=(resamples, count)) == 1
    found = np.abs(_after_exchange(sides, swaps, percent))
    measured = abs(float(_after_exchange(sides, np.zeros((1, count), dtype=bool), percent)[0]))
    as_far = int((found >= measured - TOLERANCE).sum())
    # The measured order is one of the exchanges; of all of them, it is among those drawn.
    return as_far / len(swaps) if exact else (as_far + 1) / (len(swaps) + 1)


def _after_exchange(sides: Sides, swaps: NDArray[np.bool_], percent: int) -> Values:
    """How far B is from A after each row of exchanges: for the median, the mean of the blocks' logarithms of ratios.

    The ratio of all medians would not do: it stays as far from 1 until half of the blocks are exchanged.
    """
    if percent == MEDIAN:
        by_block = [np.median(np.log(values), axis=1) for values in (sides.b, sides.a)]
        return np.asarray((np.where(swaps, -1, 1) * (by_block[0] - by_block[1])).mean(axis=1))
    swap = swaps[:, :, None]
    return _log_ratio(np.where(swap, sides.b, sides.a), np.where(swap, sides.a, sides.b), percent)


def _resampled(sides: Sides, percent: int, resamples: int, chance: np.random.Generator) -> Values:
    """Logarithms of the ratio by blocks, and samples of their sessions, drawn with replacement."""
    count, size = sides.a.shape
    blocks = chance.integers(count, size=(resamples, count))
    drawn = [
        np.take_along_axis(values[blocks], chance.integers(size, size=(resamples, count, size)), axis=-1)
        for values in (sides.a, sides.b)
    ]
    return _log_ratio(drawn[0], drawn[1], percent)


def _holm(p_values: list[float]) -> list[float]:
    order = sorted(range(len(p_values)), key=lambda at: p_values[at])
    adjusted = [0.0] * len(p_values)
    largest = 0.0
    for rank, at in enumerate(order):
        largest = max(largest, min(1.0, p_values[at] * (len(p_values) - rank)))
        adjusted[at] = largest
    return adjusted


def _change(ratio: float, adjusted: float, min_factor: float, plan: Comparing) -> Change:
    if adjusted > plan.error_rate or max(ratio, 1 / ratio) < min_factor:
        return Change.NONE_SHOWN
    return Change.WORSE if ratio > 1 else Change.BETTER
