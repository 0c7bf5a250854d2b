"""The same question without simulation: moments and N-sigma, the sum of percentiles, and the extremes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri

from hornet.capacity.burst import STEPS, Array, Burst
from hornet.capacity.footprint import Footprint
from hornet.capacity.model import Group, Scenario

# Strata of the common shock, at which conditional means are summed.
SHOCKS = ndtri((np.arange(4001) + 0.5) / 4001)


@dataclass(frozen=True)
class Moments:
    """Memory of one more agent. mean_mb: on average. own_mb2: variance that is its own, so it averages out over many.

    common_mb2: variance of the mean that all agents share through the shock, so it does not average out.
    """

    mean_mb: float
    own_mb2: float
    common_mb2: float

    def deviation_mb(self, count: Array) -> Array:
        """The standard deviation of the memory of `count` agents."""
        return np.sqrt(count * self.own_mb2 + count**2 * self.common_mb2)


@dataclass(frozen=True)
class ClosedForms:
    """VMs per host by each method. all_at_cap: every agent in its largest burst; mean: bursts average out exactly."""

    normal: int
    percentiles: int
    all_at_cap: int
    mean: int
    at_rest: int


def closed_forms(scenario: Scenario) -> ClosedForms:
    """Every closed form of a scenario."""
    caps = [group.burst.cap_mb if group.profile.busy_share else 0.0 for group in scenario.groups]
    tails = [_agents_percentile(scenario, group) for group in scenario.groups]
    return ClosedForms(
        normal=_normal(scenario),
        percentiles=_with_each(scenario, float(scenario.weights @ tails)),
        all_at_cap=_with_each(scenario, float(scenario.weights @ caps)),
        mean=_with_each(scenario, moments(scenario).mean_mb - scenario.rest_mb),
        at_rest=_with_each(scenario, 0),
    )


def moments(scenario: Scenario) -> Moments:
    """The moments of the memory of one agent of the mixture, bursts included."""
    each = [_burst_moments(scenario, group) for group in scenario.groups]
    given_shock = scenario.weights @ np.array([mean for mean, _ in each])
    own = scenario.weights @ [float(own) for _, own in each]
    return Moments(scenario.rest_mb + float(given_shock.mean()), float(own), float(given_shock.var()))


def _burst_moments(scenario: Scenario, group: Group) -> tuple[Array, float]:
    """MB of an agent's bursts: the mean at each shock, and the mean over all shocks of the variance at a shock."""
    if scenario.kept:
        highest = group.extra_mb((np.arange(STEPS) + 0.5) / STEPS, np.ones(1), kept=True)
        return np.full_like(SHOCKS, highest.mean()), float(highest.var())
    mean_mb, mean_mb2 = group.burst.moments()
    busy = group.busy_share(SHOCKS)
    return busy * mean_mb, float((busy * mean_mb2 - (busy * mean_mb) ** 2).mean())


def _normal(scenario: Scenario) -> int:
    """The largest N whose mean and N-sigma fit: normal approximation at the risk."""
    found, sigmas = moments(scenario), ndtri(1 - scenario.risk)
    counts = np.arange(_with_each(scenario, 0) + 1, dtype=float)
    fits = counts * found.mean_mb + sigmas * found.deviation_mb(counts) <= scenario.room_mb
    return int(np.flatnonzero(fits)[-1]) if fits.any() else 0


def _agents_percentile(scenario: Scenario, group: Group) -> float:
    """MB of bursts that one agent exceeds with the probability `risk`."""
    chance = np.array([scenario.risk])
    return float(group.extra_mb(chance, np.array([group.profile.busy_share]), kept=scenario.kept)[0])


def _with_each(scenario: Scenario, extra_mb: float) -> int:
    return Footprint(scenario.rest_mb, scenario.shared_mb).vms_in(scenario.host.available_mb, extra_mb)


def share_not_fitting(group: Group) -> float:
    """The share of an agent's bursts that do not fit into its VM."""
    return group.wanted.share_above(group.fitting_mb)


def vm_memory_for(group: Group, share: float) -> float:
    """MB that a VM needs so that at most this share of its agent's bursts do not fit."""
    wanted: Burst = group.wanted
    needed = float(wanted.quantile(np.array([1 - share]))[0])
    return group.assumptions.guest_used_mb.value + group.profile.idle_mb + needed
