"""`hornetos compare`: by simulation, the stated error rate holds over all rows, and a real difference is found."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binom, mannwhitneyu

from hornet.results.compare import MIN_FACTOR, MIN_INSTRUCTIONS_FACTOR, Change
from hornet.results.interleaved import Sides, blocks_needed, compare_sides, false_alarm_rate
from hornet.spec.model import load_spec

PLAN = load_spec().compare
# Smaller than the plan's, so that hundreds of comparisons take seconds.
QUICK = PLAN.model_copy(update={"resamples": 512, "blocks": 9, "trials": 40})
TRIALS = 150
ROWS = ("load", "resume", "first command")
SEED = 20261127


def measured(chance: np.random.Generator, *, factor: float = 1.0, session: float = 0.05, noise: float = 0.02) -> Sides:
    """Sessions that differ more from each other than the samples within them, and a drift that blocks share."""
    shape = (QUICK.blocks, QUICK.restores)
    drift = np.linspace(0, 0.1, QUICK.blocks)[:, None]
    sides = [
        np.exp(chance.normal(0, session, (QUICK.blocks, 1)) + drift + chance.normal(0, noise, shape)) for _ in range(2)
    ]
    return Sides("ms", 1.0, sides[0], factor * sides[1])


def alarms_by_chance(error_rate: float) -> int:
    """More alarms than this happen once in a thousand times if the rate holds."""
    return int(binom.ppf(0.999, TRIALS, error_rate))


def test_the_error_rate_holds_and_a_test_of_pooled_samples_exceeds_it() -> None:
    chance = np.random.default_rng(SEED)
    alarms = pooled = 0
    for trial in range(TRIALS):
        quantities = {name: measured(chance) for name in ROWS}
        rows = compare_sides(quantities, QUICK, trial)
        alarms += any(row.change is not Change.NONE_SHOWN for row in rows)
        tests = (mannwhitneyu(sides.a.ravel(), sides.b.ravel()).pvalue for sides in quantities.values())
        pooled += any(p_value < PLAN.error_rate / len(ROWS) for p_value in tests)
    assert alarms <= alarms_by_chance(PLAN.error_rate)
    assert pooled > alarms_by_chance(PLAN.error_rate), "sessions matter in this simulation"


def test_a_growth_of_3_percent_in_instructions_is_found() -> None:
    chance = np.random.default_rng(SEED)
    found = 0
    for trial in range(TRIALS):
        sides = measured(chance, factor=1.03, session=0.005, noise=0.0)
        counted = Sides("M instructions", MIN_INSTRUCTIONS_FACTOR, sides.a[:, :1], sides.b[:, :1])
        found += compare_sides({"boot": counted}, QUICK, trial)[0].change is Change.WORSE
    assert found >= 0.95 * TRIALS


def test_the_interval_covers_the_ratio_and_the_answer_can_be_repeated() -> None:
    sides = measured(np.random.default_rng(SEED), factor=1.5)
    row = compare_sides({"load": sides}, QUICK, 1)[0]
    assert row.low < 1.5 < row.high
    assert row.change is Change.WORSE
    assert row.adjusted >= row.p_value
    assert row.detectable > 1
    assert compare_sides({"load": sides}, QUICK, 1)[0] == row


def test_a_better_b_is_better_and_a_tiny_difference_is_none() -> None:
    steady = np.ones((QUICK.blocks, 1)) * np.linspace(1, 1.001, QUICK.blocks)[:, None]
    changes = [
        compare_sides({"load": Sides("ms", MIN_FACTOR, steady, factor * steady)}, QUICK, 1)[0].change
        for factor in (0.8, 1.2, 1.01)
    ]
    assert changes == [Change.BETTER, Change.WORSE, Change.NONE_SHOWN]


def test_an_a_a_run_measures_its_own_false_alarms() -> None:
    chance = np.random.default_rng(SEED)
    rate = false_alarm_rate({name: measured(chance) for name in ROWS}, QUICK, 1)
    assert 0 <= rate <= binom.ppf(0.999, QUICK.trials, PLAN.error_rate) / QUICK.trials


@pytest.mark.parametrize("bad", [0.0, -1.0, float("nan"), float("inf")])
def test_values_that_have_no_ratio_are_rejected(bad: float) -> None:
    sides = measured(np.random.default_rng(SEED))
    sides.a[0, 0] = bad
    with pytest.raises(ValueError, match="expected positive, finite values"):
        compare_sides({"load": sides}, QUICK, 1)


@pytest.mark.parametrize("rows", [1, 8, 40])
def test_fewer_blocks_than_needed_can_show_nothing(rows: int) -> None:
    enough = blocks_needed(rows, PLAN.error_rate)
    assert 2 / 2**enough * rows <= PLAN.error_rate < 2 / 2 ** (enough - 1) * rows
