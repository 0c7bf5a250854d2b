"""Comparing two runs: a real difference is found, chance and foreign hosts never become a verdict."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hornet.results.bounds import upper_bound
from hornet.results.compare import Change, compare, compare_runs, percentile, spread
from hornet.results.records import Record
from tests.support import synthetic_run as synthetic


def test_a_slower_run_is_worse_and_a_faster_one_better() -> None:
    usual = synthetic.restore_record(seed=1)
    slow = synthetic.restore_record(seed=2, slower=1.3)
    assert compare(slow, usual).change is Change.WORSE
    assert compare(usual, slow).change is Change.BETTER
    assert compare(slow, usual).vargha_delaney_a12 == pytest.approx(1.0, abs=0.05)


def test_more_is_better_where_the_record_says_so() -> None:
    few, many = (
        Record(name="vms_per_16gb", value=value, unit="VMs", direction="higher", lane=None, host={})
        for value in (60, 90)
    )
    assert compare(many, few).change is Change.BETTER
    assert compare(few, many).change is Change.WORSE


def test_equal_runs_show_no_difference() -> None:
    wrong = [
        seed
        for seed in range(200)
        if compare(synthetic.restore_record(seed=seed), synthetic.restore_record(seed=seed + 1000)).change
        is not Change.NONE_SHOWN
    ]
    assert len(wrong) <= 2, "at p 0.002, chance makes less than one of 200 equal pairs look different"


def test_a_certain_but_tiny_difference_is_not_reported() -> None:
    usual = synthetic.restore_record(seed=1, runs=2000)
    compared = compare(synthetic.restore_record(seed=2, runs=2000, slower=1.03), usual)
    assert compared.p_value is not None
    assert compared.p_value < 1e-6
    assert compared.change is Change.NONE_SHOWN


@pytest.mark.parametrize("runs", [0, 1, 5])
def test_few_samples_give_no_verdict_however_far_apart(runs: int) -> None:
    usual = synthetic.restore_record(seed=1)
    slow = synthetic.restore_record(seed=2, slower=50, runs=5)
    few = slow.model_copy(update={"samples": slow.samples[:runs]})
    fewer = usual.model_copy(update={"samples": usual.samples[:5]})
    assert compare(few, fewer).change is Change.TOO_FEW


@pytest.mark.parametrize(("runs", "change"), [(6, Change.TOO_FEW), (7, Change.WORSE)])
def test_seven_samples_each_are_enough_for_a_verdict(runs: int, change: Change) -> None:
    usual = synthetic.restore_record(seed=1, runs=runs)
    assert compare(synthetic.restore_record(seed=2, slower=50, runs=runs), usual).change is change


@pytest.mark.parametrize("changes", [{"host": {**synthetic.HOST, "cores": 64}}, {"unit": "s"}])
def test_another_host_or_unit_is_not_comparable(changes: dict[str, Any]) -> None:
    usual = synthetic.restore_record(seed=1)
    compared = compare(usual.model_copy(update=changes), usual)
    assert compared.change is Change.NOT_COMPARABLE
    assert ("cores 64 instead of 2" if "host" in changes else "s against ms") in compared.reason


def test_a_time_without_a_lane_is_no_property_of_a_file() -> None:
    usual = Record(name="seal_check", value=200, unit="ms", direction="lower", lane=None, host=synthetic.HOST)
    assert compare(usual.model_copy(update={"value": 400}), usual).change is Change.TOO_FEW
    assert compare(usual.model_copy(update={"host": {}}), usual).change is Change.NOT_COMPARABLE


def test_another_lane_or_dimension_is_another_thing() -> None:
    tcg, kvm = synthetic.restore_record(seed=1), synthetic.restore_record(seed=1, lane="qemu/kvm")
    assert [item.change for item in compare_runs([kvm], [tcg])] == [Change.UNMATCHED, Change.UNMATCHED]
    cold = synthetic.restore_record(seed=1, page_cache="cold")
    assert [item.change for item in compare_runs([cold], [tcg])] == [Change.UNMATCHED, Change.UNMATCHED]


@given(st.lists(st.floats(min_value=0, max_value=1e6), min_size=1, max_size=300))
def test_percentiles_are_samples_and_need_enough_of_them(samples: list[float]) -> None:
    found = spread([samples])
    assert (found.p90 is None) == (len(samples) < 10)
    assert (found.p99 is None) == (len(samples) < 100)
    assert {found.smallest, found.median, found.largest} <= set(samples)
    if found.p90 is not None:
        assert sum(sample <= found.p90 for sample in samples) >= 0.9 * len(samples)
        assert found.median <= found.p90 <= found.largest


def test_percentile_of_a_known_row() -> None:
    row = [float(number) for number in range(1, 101)]
    random.Random(1).shuffle(row)
    assert percentile(sorted(row), 99) == 99
    assert percentile(sorted(row), 90) == 90


@pytest.mark.parametrize(("percent", "needed"), [(90, 29), (95, 59), (99, 299)])
def test_the_bound_of_a_percentile_needs_enough_samples(percent: int, needed: int) -> None:
    """The smallest number of samples whose largest exceeds the percentile with 95 %: 1 - (percent / 100) ** n."""
    assert 1 - (percent / 100) ** needed >= 0.95 > 1 - (percent / 100) ** (needed - 1)
    assert upper_bound([float(n) for n in range(needed)], percent) == needed - 1
    assert upper_bound([float(n) for n in range(needed - 1)], percent) is None


def test_the_bound_holds_in_95_of_100_cases() -> None:
    chance = random.Random(1)
    missed = 0
    for _ in range(1000):
        bound = upper_bound(sorted(chance.random() for _ in range(100)), 90)
        missed += bound is not None and bound < 0.9
    assert 5 < missed <= 65, "at most 5 % are below the percentile, and the bound is no larger than it must be"


@pytest.mark.parametrize("swap", [False, True], ids=["in order", "swapped"])
def test_what_was_measured_twice_is_not_compared(swap: bool) -> None:
    """Otherwise the order of files would select one of the two."""
    twice = [synthetic.restore_record(seed=1), synthetic.restore_record(seed=2, slower=1.3)]
    (found,) = compare_runs(twice[::-1] if swap else twice, [synthetic.restore_record(seed=3)])
    assert found.change is Change.NOT_COMPARABLE
    assert "measured 2 times in this run, 1 times in the baseline" in found.reason
