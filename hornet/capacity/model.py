"""What is planned: groups of agents, the host, and the memory that an agent takes at rest and in a burst.

Memory of a host = shared once per snapshot + for each VM (VMM, guest, agent and page cache at rest, page tables,
network, kernel, disk cache) + bursts.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

from hornet.capacity.burst import Array, Burst
from hornet.capacity.footprint import Footprint
from hornet.errors import HostError
from hornet.spec.capacity import Assumptions, Profile

MB_PER_MIB = 1.048576


@dataclass(frozen=True)
class HostType:
    """A kind of host. count: how many there are; None for as many as needed."""

    name: str
    memory_mb: float
    reserved_mb: float
    cores: float
    count: int | None = None

    @property
    def available_mb(self) -> float:
        """The memory available for VMs."""
        return self.memory_mb - self.reserved_mb


@dataclass(frozen=True)
class Group:
    """Agents of one profile in VMs of one snapshot. snapshot: groups with the same one share its pages."""

    name: str
    agents: int
    profile: Profile
    footprint: Footprint
    snapshot: str
    vm_memory_mb: float
    assumptions: Assumptions

    def __post_init__(self) -> None:
        if self.fitting_mb < 0:
            used = self.assumptions.guest_used_mb.value
            raise HostError(
                f"profile {self.name}: {self.profile.idle_mb:g} MB at rest and the guest's own {used:g} MB do not fit "
                f"into a VM of {self.vm_memory_mb:g} MB",
                f"give --vm-memory-mb at least {used + self.profile.idle_mb:g}",
            )

    @property
    def fitting_mb(self) -> float:
        """The largest burst that fits into the VM. The guest gives up its page cache for it."""
        return self.vm_memory_mb - self.assumptions.guest_used_mb.value - self.profile.idle_mb

    @property
    def page_cache_mb(self) -> float:
        """Files that the guest caches, at most as many as fit."""
        return min(self.profile.page_cache_mb, self.fitting_mb)

    @property
    def wanted(self) -> Burst:
        """The bursts that the agent wants, whatever its VM has."""
        return Burst.of(self.profile.burst_mb, self.profile.burst_max_mb or 0)

    @cached_property
    def burst(self) -> Burst:
        """What a burst takes of the host: capped by the VM's memory, and with its page tables."""
        tables = 1 + self.assumptions.page_tables_per_mb.value
        cap_mb = min(self.profile.burst_max_mb or 0, self.fitting_mb - self.page_cache_mb)
        return Burst.of([(share, size * tables) for share, size in self.profile.burst_mb], cap_mb * tables)

    @property
    def rest_mb(self) -> float:
        """What each VM takes of the host between bursts."""
        own_mb = self.footprint.private_mb + self.profile.idle_mb + self.page_cache_mb
        tables_mb = (own_mb + self.footprint.shared_mb) * self.assumptions.page_tables_per_mb.value
        others = (self.assumptions.network_mb, self.assumptions.kernel_mb, self.assumptions.disk_cache_mb)
        return own_mb + tables_mb + sum(item.value for item in others)

    @property
    def bursts_per_life(self) -> float:
        """How many bursts an agent has before its VM is replaced."""
        return self.assumptions.lifetime_s.value * self.profile.busy_share / self.profile.burst_s

    def busy_share(self, shock: Array) -> Array:
        """The share of agents in a burst, given the common shock (a normal score): Vasicek's one-factor model."""
        share, correlation = self.profile.busy_share, self.profile.correlation
        if share in (0.0, 1.0) or not correlation:
            return np.full_like(shock, share)
        return np.asarray(ndtr((ndtri(share) + np.sqrt(correlation) * shock) / np.sqrt(1 - correlation)))

    def extra_mb(self, chance: Array, busy: Array, *, kept: bool) -> Array:
        """MB above rest of agents with these uniform chances; it falls as the chance rises.

        busy: the share of agents in a burst, in a shape that broadcasts. kept: the host gets no memory back after a
        burst, so an agent takes what its largest burst took: the maximum of a Poisson number of bursts.
        """
        if not self.profile.busy_share:
            return np.zeros_like(chance)
        if kept:
            # So few bursts are none, and dividing by them must not overflow.
            return self.burst.quantile(1 + np.log1p(-chance) / max(self.bursts_per_life, 1e-12))
        return self.burst.quantile(1 - chance / np.maximum(busy, 1e-300))


@dataclass(frozen=True)
class Scenario:
    """One case to plan. risk: of exceeding the host's memory at any one moment. kept: see Group.extra_mb.

    over_year: the risk is also that of any host within a year (hornet.capacity.period).
    """

    groups: tuple[Group, ...]
    host: HostType
    risk: float
    kept: bool
    seed: int
    scenarios: int
    over_year: bool = False

    @property
    def agents(self) -> int:
        return sum(group.agents for group in self.groups)

    @property
    def weights(self) -> Array:
        """The share of each group: every host gets the same mixture."""
        return np.array([group.agents / self.agents for group in self.groups])

    @property
    def shared_mb(self) -> float:
        """What the VMs of all groups take once."""
        return sum({group.snapshot: group.footprint.shared_mb for group in self.groups}.values())

    @property
    def room_mb(self) -> float:
        """The memory for what grows with the number of VMs."""
        return self.host.available_mb - self.shared_mb

    @property
    def rest_mb(self) -> float:
        """What a VM takes between bursts: the mean of the mixture."""
        return float(sum(self.weights * [group.rest_mb for group in self.groups]))

    def order(self, count: int) -> NDArray[np.intp]:
        """The group of each of the first `count` VMs of a host: evenly mixed, the same for every count."""
        places = [(np.arange(int(count * weight) + 2) + 0.5) / weight for weight in self.weights]
        owners = [np.full(len(found), index) for index, found in enumerate(places)]
        return np.concatenate(owners)[np.argsort(np.concatenate(places), kind="stable")][:count]
