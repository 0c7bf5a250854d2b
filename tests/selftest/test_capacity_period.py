"""The risk within a year: a bound above every exact or simulated risk, and not far above it."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from hornet.capacity.period import YearBound, year_risk
from hornet.capacity.simulate import fitting, memory_demand, risk_at
from tests.support.capacity_samples import group, scenario

CONSTANT = scenario(group(burst_mb=[[0.5, 100]], burst_max_mb=100))


def exceeds(vms: int) -> float:
    """P(40 + 70 N + 100 K > 6000) with K ~ Binomial(N, 0.3), summed exactly."""
    most = (6000 - 40 - 70 * vms) // 100
    return sum(math.comb(vms, busy) * 0.3**busy * 0.7 ** (vms - busy) for busy in range(most + 1, vms + 1))


@pytest.mark.parametrize("vms", [40, 45, 50])
def test_the_bound_is_above_the_exact_risk_and_near_it(vms: int) -> None:
    found = YearBound(CONSTANT).at_a_moment(vms)
    assert exceeds(vms) <= found <= 30 * exceeds(vms)


def test_what_always_or_never_fits_is_exact() -> None:
    bound = YearBound(CONSTANT)
    assert bound.at_a_moment(35) == 0, "40 + 35 * 170 MB fit in 6000 MB"
    assert bound.at_a_moment(86) == 1, "40 + 86 * 70 MB do not"


@pytest.mark.parametrize("kept", [False, True])
@pytest.mark.parametrize("correlation", [0, 0.3])
def test_the_bound_is_above_the_simulated_risk(correlation: float, kept: bool) -> None:
    case = scenario(group(300, correlation=correlation), group(100, "two", idle_mb=80), kept=kept)
    (counts,) = fitting(case, memory_demand(case), case.room_mb, 90)
    bound = YearBound(case)
    vms = [vms for vms in range(90) if 0.01 < risk_at(counts, vms) < 0.99]
    assert vms
    assert all(risk_at(counts, number) <= bound.at_a_moment(number) for number in vms)


@pytest.mark.parametrize("kept", [False, True])
def test_the_allowed_number_is_the_largest_of_that_risk(kept: bool) -> None:
    case = replace(CONSTANT, kept=kept, risk=0.01)
    bound, found = YearBound(case), year_risk(case, 36, 3)

    def risk(vms: int) -> float:
        return bound.in_a_year(vms, math.ceil(case.agents / vms))

    assert risk(found.allowed) <= 0.01 < risk(found.allowed + 1)
    assert found.at_most == bound.in_a_year(36, 3)


def test_rare_and_short_risks_add_up_over_a_year() -> None:
    bound = YearBound(CONSTANT)
    # Each of 40 VMs ends a burst of a second, on average, once a second: seconds of a year times 40.
    expected = bound.at_a_moment(40) * 365 * 86_400 * 40
    assert bound.in_a_year(40, 1) == pytest.approx(-math.expm1(-expected))
