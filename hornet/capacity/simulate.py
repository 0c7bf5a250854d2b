"""Random moments of a host: how many agents fit in each, and by how much a given number exceeds its memory.

One scenario is one moment. It has one common shock for all agents and one chance for each. The shocks are strata of
the normal distribution, not draws, so the tail of the shock is exact. An agent's chance depends on the seed, the
scenario and its place on the host only. So two plans with the same seed see the same moments: the answer never falls
with more memory, a larger risk or smaller agents.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from hornet.capacity.burst import Array
from hornet.capacity.model import Group, Scenario

# Agents that are drawn at once: 50 MB for the most scenarios that the spec has.
BLOCK = 32
# Of the sums: what fits exactly must not fail by the last bit.
ROUNDING = 1e-12
Counts = NDArray[np.int64]
# What agents of a group take, given their chances and the share of agents in a burst.
Demand = Callable[[Group, Array, Array], Array]


def memory_demand(scenario: Scenario) -> Demand:
    """MB of agents, bursts included."""
    return lambda group, chance, busy: group.rest_mb + group.extra_mb(chance, busy, kept=scenario.kept)


def cpu_demand(group: Group, chance: Array, busy: Array) -> Array:
    """Processors that agents use, in cores."""
    return np.where(chance < busy, group.profile.cpu_busy, group.profile.cpu_idle)


def fitting(
    scenario: Scenario, demand: Demand, room: float, at_most: int, errors: Sequence[float] = (0.0,)
) -> list[Counts]:
    """For each moment, how many agents fit into `room` before one of them exceeds it; at most `at_most`.

    One result for each of `errors`, by which the demand of every agent is larger.
    """
    counts = [np.zeros(scenario.scenarios, np.int64) for _ in errors]
    for start, running in _running_totals(scenario, demand, at_most):
        places = np.arange(start + 1, start + 1 + running.shape[1])
        fits = [running + error * places <= room * (1 + ROUNDING) for error in errors]
        for count, fit in zip(counts, fits, strict=True):
            count += fit.sum(axis=1)
        # Demand is never negative, so totals only rise.
        if not any(fit[:, -1].any() for fit in fits):
            break
    return counts


def totals(scenario: Scenario, demand: Demand, count: int) -> Array:
    """For each moment, what `count` agents take together."""
    last = np.zeros(scenario.scenarios)
    for _, running in _running_totals(scenario, demand, count):
        last = running[:, -1]
    return last


def largest(counts: Counts, risk: float) -> int:
    """The largest number of agents that exceeds the room in at most this share of the moments."""
    allowed = int(np.floor(risk * len(counts) + 1e-9))
    return int(np.partition(counts, allowed)[allowed])


def risk_at(counts: Counts, count: int) -> float:
    """The share of the moments in which `count` agents exceed the room."""
    return float((counts < count).mean())


def _running_totals(scenario: Scenario, demand: Demand, count: int) -> Iterator[tuple[int, Array]]:
    """The sums of the first 1, 2, … agents' demands by blocks, each with the agents before it; one row per moment."""
    shocks = ndtri((np.arange(scenario.scenarios) + 0.5) / scenario.scenarios)[:, np.newaxis]
    busy = [group.busy_share(shocks) for group in scenario.groups]
    owners = scenario.order(count)
    before = np.zeros((scenario.scenarios, 1))
    for start in range(0, count, BLOCK):
        chances = np.random.default_rng([scenario.seed, start]).random((scenario.scenarios, BLOCK))
        mine = owners[start : start + BLOCK]
        taken = np.empty((scenario.scenarios, len(mine)))
        for index, group in enumerate(scenario.groups):
            columns = np.flatnonzero(mine == index)
            if len(columns):
                taken[:, columns] = demand(group, chances[:, columns], busy[index])
        running = before + np.cumsum(taken, axis=1)
        yield start, running
        before = running[:, -1:]
