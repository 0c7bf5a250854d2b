"""The host for capacity planning, its limits, and the profiles of agents: spec/capacity.toml, spec/profiles.toml."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, Literal

from pydantic import Field, model_validator

from hornet.spec.types import DAY_S, ImagePath, Line, NotNegative, Positive, Seconds, Table, Token

# How a value is known. "emulated" is measured where times and the VMM's own memory differ from production.
Kind = Literal["measured", "emulated", "published", "computed", "given", "assumed"]
Share = Annotated[float, Field(ge=0, le=1)]
# A smaller risk takes more scenarios than a simulation can have, and a larger one is not a plan.
Risk = Annotated[float, Field(ge=0.0001, le=0.5)]
Correlation = Annotated[float, Field(ge=0, lt=1)]
# A point of a distribution: share of the bursts (more than 0, less than 1), MB.
Point = Annotated[list[Positive], Field(min_length=2, max_length=2)]


class Sourced(Table):
    """A value, how it is known, and where it comes from."""

    value: NotNegative
    kind: Kind
    source: Line


class Assumptions(Table):
    """What a VM takes beside its guest's memory and the speed of the host. Units are in the names."""

    host_cores: Sourced
    network_mb: Sourced
    kernel_mb: Sourced
    page_tables_per_mb: Sourced
    disk_cache_mb: Sourced
    guest_used_mb: Sourced
    lifetime_s: Sourced
    cores_per_core: Sourced
    cpu_risk: Sourced
    restart_s: Sourced
    restores_per_core_s: Sourced
    disk_read_mb_per_s: Sourced

    @model_validator(mode="after")
    def _consistent(self) -> Assumptions:
        for name in ("host_cores", "cores_per_core", "lifetime_s", "restart_s"):
            if not getattr(self, name).value:
                raise ValueError(f"{name}.value is 0, expected more")
        if self.cpu_risk.value >= 1:
            raise ValueError(f"cpu_risk.value is {self.cpu_risk.value:g}, expected a share of less than 1")
        return self


class Limit(Table):
    """A resource of the host that VMs use up. per_process: `capacity` is what one VMM may have, not the host."""

    title: Line
    per_vm: Positive
    capacity: NotNegative
    path: ImagePath | None = None
    per_process: bool = False
    kind: Kind
    source: Line


class MeasuredElsewhere(Table):
    """The memory of VMs for a plan without a run. private_mb: each VM's own; shared_mb: of all together.

    error_mb: half of the 95 % interval of private_mb. clones: how many ran at once.
    """

    tier: Token
    lane: Line
    private_mb: Positive
    shared_mb: NotNegative
    error_mb: NotNegative
    clones: Annotated[int, Field(ge=1)]
    kind: Kind
    source: Line


class Capacity(Table):
    """The host to plan for. work_mb: the cases that the report shows for what an agent adds to its VM at rest.

    spare_hosts: how many hosts may be lost while all agents still fit. footprint: for a plan without a run.
    """

    host_memory_mb: Positive
    host_reserved_mb: NotNegative
    work_mb: Annotated[list[NotNegative], Field(min_length=1, max_length=20)]
    default_profile: Token
    agents: Annotated[int, Field(ge=1, le=100_000_000)]
    risk: Risk
    scenarios: Annotated[int, Field(ge=1000, le=1_000_000)]
    seed: Annotated[int, Field(ge=0, lt=1 << 32)]
    spare_hosts: Annotated[int, Field(ge=0, le=1_000_000)]
    footprint: MeasuredElsewhere
    assumptions: Assumptions
    limits: dict[Token, Limit]

    @model_validator(mode="after")
    def _consistent(self) -> Capacity:
        if self.host_reserved_mb >= self.host_memory_mb:
            raise ValueError("host_reserved_mb must be less than host_memory_mb")
        return self

    @property
    def available_mb(self) -> float:
        """The memory available for VMs."""
        return self.host_memory_mb - self.host_reserved_mb


class Profile(Table):
    """What one kind of agent does. The keys are explained in spec/profiles.toml; units are in their names."""

    title: Line
    source: Line
    kind: Kind
    idle_mb: NotNegative
    page_cache_mb: NotNegative = 0
    busy_share: Share
    burst_mb: Annotated[list[Point], Field(max_length=1000)] = []
    burst_max_mb: Positive | None = None
    burst_s: Seconds = 1
    correlation: Correlation = 0
    cpu_idle: Annotated[float, Field(ge=0, le=1024)]
    cpu_busy: Annotated[float, Field(ge=0, le=1024)]
    assumed: list[Line] = []
    given: list[Line] = []

    @model_validator(mode="after")
    def _consistent(self) -> Profile:
        if self.busy_share and not self.burst_mb:
            raise ValueError(f"busy_share is {self.busy_share:g}, but burst_mb has no point: give the bursts a size")
        if any(share >= 1 for share, _ in self.burst_mb):
            raise ValueError("burst_mb: the share of a point must be less than 1; burst_max_mb is the largest burst")
        for (share, size), (next_share, next_size) in pairwise(self.burst_mb):
            if next_share <= share or next_size < size:
                raise ValueError(
                    f"burst_mb: [{next_share:g}, {next_size:g}] after [{share:g}, {size:g}]: shares must rise, and no "
                    "size may be smaller than the one before it"
                )
        if self.burst_mb and self.burst_max_mb is None:
            raise ValueError("burst_max_mb is missing: without it, a burst has no largest size")
        if self.burst_mb and self.burst_max_mb is not None and self.burst_max_mb < self.burst_mb[-1][1]:
            raise ValueError(f"burst_max_mb is {self.burst_max_mb:g}, less than a point of burst_mb")
        return self

    @property
    def bursts_per_day(self) -> float:
        """How many bursts an agent has in a day."""
        return DAY_S * self.busy_share / self.burst_s
