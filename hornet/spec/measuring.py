"""How often each measurement is repeated, and the host for capacity planning: spec/measuring.toml."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from hornet.spec.types import MAX_ROUNDS, NotNegative, Positive, Table


class Capacity(Table):
    """The host to plan for. work_mb: the cases to show for the memory that an agent's work adds to its VM."""

    host_memory_mb: Positive
    host_reserved_mb: NotNegative
    work_mb: Annotated[list[NotNegative], Field(min_length=1, max_length=20)]

    @model_validator(mode="after")
    def _consistent(self) -> Capacity:
        if self.host_reserved_mb >= self.host_memory_mb:
            raise ValueError("host_reserved_mb must be less than host_memory_mb")
        return self

    @property
    def available_mb(self) -> float:
        """The memory available for VMs."""
        return self.host_memory_mb - self.host_reserved_mb


class Rounds(Table):
    """How often each measurement is repeated. restore: for each state of the page cache.

    clones: how many clones of one snapshot run at the same time when their memory is measured.
    """

    restore: Annotated[int, Field(ge=1, le=MAX_ROUNDS)]
    boot: Annotated[int, Field(ge=1, le=MAX_ROUNDS)]
    clones: Annotated[int, Field(ge=2, le=MAX_ROUNDS)]


class Perf(Table):
    """Rounds in lanes whose times are judged, and in emulated ones."""

    kvm: Rounds
    emulated: Rounds

    def rounds(self, *, judged: bool) -> Rounds:
        return self.kvm if judged else self.emulated
