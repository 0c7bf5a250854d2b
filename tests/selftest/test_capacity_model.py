"""The planner's arithmetic: cases computed by hand, and an independent simulation agent by agent."""

from __future__ import annotations

import math
import random
import statistics
from dataclasses import replace
from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hornet.capacity.breakdown import breakdown
from hornet.capacity.burst import Burst
from hornet.capacity.closed_form import closed_forms, moments, share_not_fitting, vm_memory_for
from hornet.capacity.host_plan import overflow, plan_memory, vms_by_memory, vms_by_processors
from hornet.capacity.model import Scenario
from hornet.capacity.simulate import fitting, largest, memory_demand, risk_at, totals
from tests.support.capacity_samples import group, scenario

NORMAL = NormalDist()


def test_agents_without_bursts_are_divided_by_hand() -> None:
    at_rest = scenario(group(busy_share=0, burst_mb=[]))
    # (6000 - 40 shared) / (20 + 50)
    assert plan_memory(at_rest).vms == 85
    assert overflow(at_rest, 85).risk == 0
    assert overflow(at_rest, 86).risk == 1


def test_constant_bursts_follow_the_binomial_distribution_by_hand() -> None:
    constant = scenario(group(burst_mb=[[0.5, 100]], burst_max_mb=100), scenarios=20_000)

    def exceeds(vms: int) -> float:
        """P(40 + 70 N + 100 K > 6000) with K ~ Binomial(N, 0.3), summed exactly."""
        most = (6000 - 40 - 70 * vms) // 100
        return 1 - sum(math.comb(vms, busy) * 0.3**busy * 0.7 ** (vms - busy) for busy in range(most + 1))

    exact = max(vms for vms in range(86) if exceeds(vms) <= 0.05)
    assert plan_memory(constant).simulated == exact
    counts = fitting(constant, memory_demand(constant), constant.room_mb, 86)[0]
    for vms in (exact - 2, exact, exact + 2):
        assert risk_at(counts, vms) == pytest.approx(exceeds(vms), abs=0.006), "three standard errors of 20,000 draws"


def brute_force(case: Scenario, vms: int, rounds: int) -> list[float]:
    """The memory of a host in MB, moment by moment and agent by agent, with none of the planner's code."""
    chance = random.Random(99)
    agent = case.groups[0].profile
    (low, low_mb), (high, high_mb) = agent.burst_mb
    sigma = math.log(high_mb / low_mb) / (NORMAL.inv_cdf(high) - NORMAL.inv_cdf(low))
    mu = math.log(low_mb) - sigma * NORMAL.inv_cdf(low)
    found = []
    for _ in range(rounds):
        shock, total = chance.gauss(0, 1), 40.0
        for _ in range(vms):
            own = math.sqrt(agent.correlation) * shock + math.sqrt(1 - agent.correlation) * chance.gauss(0, 1)
            burst = min(chance.lognormvariate(mu, sigma), agent.burst_max_mb or 0) if own < THRESHOLD else 0.0
            total += 20 + 50 + burst
        found.append(total)
    return found


# An agent is busy in 30 % of the moments.
THRESHOLD = NORMAL.inv_cdf(0.3)


@pytest.mark.parametrize("correlation", [0.0, 0.2])
def test_simulation_agrees_with_brute_force(correlation: float) -> None:
    case = scenario(group(correlation=correlation), scenarios=20_000)
    vms = plan_memory(case).simulated
    taken = brute_force(case, vms, rounds=8000)
    risk = sum(total > 6000 for total in taken) / len(taken)
    # Three standard errors of the brute force at 5 %.
    assert risk == pytest.approx(0.05, abs=3 * math.sqrt(0.05 * 0.95 / 8000) + 0.005)
    mine = 40 + totals(case, memory_demand(case), vms)
    assert float(mine.mean()) == pytest.approx(statistics.fmean(taken), rel=0.01)
    assert float(np.quantile(mine, 0.95)) == pytest.approx(statistics.quantiles(taken, n=20)[-1], rel=0.015)


@pytest.mark.parametrize("correlation", [0.0, 0.2, 0.6])
@pytest.mark.parametrize("kept", [False, True])
def test_moments_agree_with_the_simulation(correlation: float, kept: bool) -> None:
    case = scenario(group(correlation=correlation), kept=kept, scenarios=20_000)
    found, taken = moments(case), totals(case, memory_demand(case), 40)
    assert 40 * found.mean_mb == pytest.approx(float(taken.mean()), rel=0.005)
    assert float(found.deviation_mb(np.array([40.0]))[0]) == pytest.approx(float(taken.std()), rel=0.03)


def test_bounds_enclose_the_simulation() -> None:
    closed, plan = closed_forms(scenario()), plan_memory(scenario())
    assert closed.all_at_cap <= closed.percentiles <= plan.simulated <= closed.mean <= closed.at_rest
    assert plan.vms == min(plan.simulated, closed.normal)
    assert plan.low <= plan.simulated <= plan.high


def test_the_smaller_of_both_methods_is_taken_and_explained() -> None:
    skewed = plan_memory(scenario(risk=0.01, scenarios=20_000))
    assert skewed.vms == skewed.simulated < skewed.closed.normal
    assert "skewed" in skewed.explanation
    busy = group(busy_share=0.8, correlation=0.3, burst_mb=[[0.5, 100]], burst_max_mb=100)
    capped = plan_memory(scenario(busy, risk=0.01))
    assert capped.vms == capped.closed.normal < capped.simulated
    assert "smaller one" in capped.explanation


def test_interval_widens_with_the_error_of_the_measurement() -> None:
    exact, rough = plan_memory(scenario()), plan_memory(scenario(), error_mb=10)
    assert rough.low < exact.low <= exact.high < rough.high
    assert rough.simulated == exact.simulated


def test_all_together_is_all_or_nothing() -> None:
    """With a correlation near 1, a host overflows as often as one agent is busy: then only the caps help."""
    together = scenario(group(correlation=0.9999, burst_mb=[[0.5, 100]], burst_max_mb=100))
    assert plan_memory(together).simulated == closed_forms(together).all_at_cap


def test_kept_memory_takes_the_largest_burst_of_a_life() -> None:
    kept = scenario(kept=True)
    assert plan_memory(kept).vms < plan_memory(scenario()).vms
    once = scenario(group(burst_s=3600 * 0.3), kept=True, scenarios=20_000)
    share = float((totals(once, memory_demand(once), 1) > 70.001).mean())
    assert share == pytest.approx(1 - math.exp(-1), abs=0.01), "one burst per life on average: a Poisson number"


def test_a_mixture_is_between_its_parts() -> None:
    small, large = group(300, "small", idle_mb=10), group(100, "large", idle_mb=300)
    found = [vms_by_memory(scenario(*groups)) for groups in ([large], [large, small], [small])]
    assert found[0] < found[1] < found[2]
    order = scenario(small, large).order(400)
    assert [int((order[:count] == 1).sum()) for count in (4, 40, 400)] == [1, 10, 100]


def test_shared_pages_of_one_snapshot_count_once() -> None:
    same = scenario(group(name="a"), group(name="b"))
    other = scenario(group(name="a"), replace(group(name="b"), snapshot="other"))
    assert (same.shared_mb, other.shared_mb) == (40, 80)


def test_processors_are_divided_by_hand() -> None:
    assert vms_by_processors(scenario(group(busy_share=0, cpu_idle=0.1))) == 160
    assert vms_by_processors(scenario(group(busy_share=1, cpu_busy=2))) == 8


def test_parts_add_up_to_the_host() -> None:
    parts = breakdown(scenario(), 30)
    assert sum(parts.values()) == pytest.approx(6000)
    assert parts["agent at rest"] == 30 * 50


def test_burst_quantiles_are_lognormal_and_capped() -> None:
    burst = Burst.of([[0.5, 100], [0.95, 400]], 1000)
    sigma = math.log(4) / NORMAL.inv_cdf(0.95)
    expected = [100 * math.exp(sigma * NORMAL.inv_cdf(share)) for share in (0.1, 0.7, 0.97)]
    assert burst.quantile(np.array([0.1, 0.7, 0.97, 0.99999])) == pytest.approx([*expected, 1000])
    assert burst.share_above(400) == pytest.approx(0.05)
    assert burst.share_above(1000) == 0
    assert burst.share_above(0) == 1
    free = Burst.of([[0.5, 100], [0.95, 400]], 1e9)
    assert free.moments()[0] == pytest.approx(100 * math.exp(sigma**2 / 2), rel=0.002)


def test_a_burst_that_does_not_fit_the_vm_is_counted() -> None:
    tight = group(vm_memory_mb=450)
    assert share_not_fitting(tight) == pytest.approx(0.05)
    assert vm_memory_for(tight, 0.05) == pytest.approx(450)
    assert tight.burst.cap_mb == 400


@settings(max_examples=25, deadline=None)
@given(
    risk=st.floats(0.01, 0.4),
    memory_mb=st.floats(500, 8000),
    idle_mb=st.floats(0, 300),
    busy=st.floats(0, 1),
    correlation=st.floats(0, 0.95),
    kept=st.booleans(),
)
def test_more_risk_more_memory_and_smaller_agents_never_hold_fewer(
    risk: float, memory_mb: float, idle_mb: float, busy: float, correlation: float, kept: bool
) -> None:
    def vms(risk: float, memory_mb: float, idle_mb: float, busy: float) -> int:
        agents = group(idle_mb=idle_mb, busy_share=busy, correlation=correlation)
        host = replace(scenario().host, memory_mb=memory_mb)
        case = scenario(agents, risk=risk, host=host, kept=kept, scenarios=500)
        return largest(fitting(case, memory_demand(case), case.room_mb, 400)[0], risk)

    found = vms(risk, memory_mb, idle_mb, busy)
    assert vms(risk + 0.05, memory_mb, idle_mb, busy) >= found
    assert vms(risk, memory_mb * 1.1, idle_mb, busy) >= found
    assert vms(risk, memory_mb, idle_mb + 20, busy) <= found
    assert vms(risk, memory_mb, idle_mb, min(1.0, busy + 0.1)) <= found


def test_risk_never_falls_with_more_vms() -> None:
    risks = [point.risk for point in plan_memory(scenario()).curve]
    assert risks == sorted(risks)
    assert (risks[0], risks[-1]) == (0, 1)


def test_a_seed_reproduces_a_plan_and_another_does_not() -> None:
    first, again, other = (plan_memory(scenario(seed=seed)) for seed in (1, 1, 2))
    assert first == again
    assert first.curve != other.curve
