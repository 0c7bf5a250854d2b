"""The risk that a host ever exceeds its memory within a year: a bound, because no simulation reaches such small risks.

At one moment, Chernoff's bound holds for the sum of all agents given the common shock, and is averaged over the shock:
P(sum > room) <= min over t of E[exp(t * sum)] / exp(t * room). In time, each end of a burst may be the end of an
overflow, so overflows are at most as frequent as bursts end in moments of overflow; durations of bursts are taken as
exponential. With memory kept, each life of the VMs is one moment.

Sources: H. Chernoff, Ann. Math. Stat. 23 (1952); the rate of crossings of a stationary process equals its rate back.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.special import logsumexp

from hornet.capacity.burst import SCORE_LIMIT, Array
from hornet.capacity.model import Group, Scenario
from hornet.spec.types import DAY_S

YEAR_S = 365 * DAY_S
# Cells of the distribution of a burst, each at its upper end so that the bound holds; finer towards the largest.
CELLS = 2_000
LARGEST_SHARE = 1e-12
# Values of the shock, and of t times the largest burst, at which the bound is computed.
SHOCKS = 361
TILTS = np.geomspace(1e-2, 1e3, 160)


@dataclass(frozen=True)
class YearRisk:
    """The risk within a year. vms, hosts: of the plan. at_most: that any of its hosts exceeds its memory.

    allowed: how many VMs a host may hold so that this risk is at most the plan's, with the hosts that all agents then
    need; 0 if not one.
    """

    vms: int
    hosts: int
    at_most: float
    allowed: int


class YearBound:
    """The bound for one kind of host."""

    def __init__(self, scenario: Scenario) -> None:
        self.scenario = scenario
        self.shocks = np.linspace(-SCORE_LIMIT, SCORE_LIMIT, SHOCKS)
        weights = np.exp(-(self.shocks**2) / 2)
        self.weights = weights / weights.sum()
        largest = max((group.burst.cap_mb for group in scenario.groups), default=0.0) or 1.0
        self.tilts = TILTS / largest

    def at_a_moment(self, vms: int) -> float:
        """At most the share of the moments in which this many VMs exceed the memory."""
        count = np.bincount(self.scenario.order(vms), minlength=len(self.scenario.groups))
        room_mb = self.scenario.room_mb - float(count @ [group.rest_mb for group in self.scenario.groups])
        if room_mb < 0:
            return 1.0
        if float(count @ [group.burst.cap_mb for group in self.scenario.groups]) <= room_mb:
            return 0.0  # even all in their largest burst at once fit
        grown = sum(number * log for number, log in zip(count, self._logs, strict=True))
        bounds = np.minimum(grown - self.tilts[:, np.newaxis] * room_mb, 0.0).min(axis=0)
        return float(self.weights @ np.exp(bounds))

    def in_a_year(self, vms: int, hosts: int) -> float:
        """At most the probability that any of the hosts, each with this many VMs, exceeds its memory in a year."""
        group_s = [self._moment_s(group) for group in self.scenario.groups]
        ends = YEAR_S * float(self.scenario.weights @ [1 / length for length in group_s])
        per_host = ends if self.scenario.kept else ends * vms
        return float(-np.expm1(-self.at_a_moment(vms) * per_host * hosts))

    def allowed(self, risk: float) -> int:
        """The largest number of VMs whose risk in a year is at most `risk`, on the hosts that all agents then need."""
        low, high = 0, int(self.scenario.room_mb // self.scenario.rest_mb) + 1
        while high - low > 1:
            middle = (low + high) // 2
            fits = self.in_a_year(middle, -(-self.scenario.agents // middle)) <= risk
            low, high = (middle, high) if fits else (low, middle)
        return low

    def _moment_s(self, group: Group) -> float:
        return group.assumptions.lifetime_s.value if self.scenario.kept else group.profile.burst_s

    @cached_property
    def _logs(self) -> list[Array]:
        """By group: ln E[exp(t * memory above rest)], one row per tilt and one column per shock."""
        return [self._log_of(group) for group in self.scenario.groups]

    def _log_of(self, group: Group) -> Array:
        above = np.append(np.geomspace(1, LARGEST_SHARE, CELLS), 0.0)
        ends, sizes = 1 - above[1:], -np.diff(above)
        if not group.profile.busy_share:
            return np.zeros((len(self.tilts), SHOCKS))
        if self.scenario.kept:
            taken_mb = group.extra_mb(above[1:], np.ones(1), kept=True)
            kept = logsumexp(np.outer(self.tilts, taken_mb), b=sizes, axis=1)
            return np.repeat(kept[:, np.newaxis], SHOCKS, axis=1)
        burst = logsumexp(np.outer(self.tilts, group.burst.quantile(ends)), b=sizes, axis=1)
        busy = group.busy_share(self.shocks)
        with np.errstate(divide="ignore"):
            return np.asarray(np.logaddexp(np.log1p(-busy), np.log(busy) + burst[:, np.newaxis]))


def year_risk(scenario: Scenario, vms: int, hosts: int) -> YearRisk:
    """The risk of a plan within a year, and how many VMs per host it would allow."""
    bound = YearBound(scenario)
    return YearRisk(vms, hosts, bound.in_a_year(vms, hosts), bound.allowed(scenario.risk))
