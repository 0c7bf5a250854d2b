"""How often each measurement is repeated: spec/measuring.toml."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from hornet.spec.types import MAX_ROUNDS, Positive, Script, Table, Token

# Each takes a thread of the suite.
MAX_AT_ONCE = 1000


class Rounds(Table):
    """How often each measurement is repeated. restore: in each session, for each state of the page cache.

    sessions: of restores, each with a fresh copy of the snapshot and a fresh pool. restore_s: what one takes with its
    preparation, for the plan. clones: of one snapshot, at most, that run at once when their memory is measured;
    working_clones: of those that do an agent's step. There are fewer if the host's memory is used before.
    """

    sessions: Annotated[int, Field(ge=1, le=MAX_ROUNDS)]
    restore: Annotated[int, Field(ge=1, le=MAX_ROUNDS)]
    restore_s: Positive
    boot: Annotated[int, Field(ge=1, le=MAX_ROUNDS)]
    clones: Annotated[int, Field(ge=2, le=MAX_ROUNDS)]
    working_clones: Annotated[int, Field(ge=2, le=MAX_ROUNDS)]

    @property
    def restores(self) -> int:
        """All restores for one state of the page cache."""
        return self.sessions * self.restore

    @property
    def restore_plan(self) -> str:
        """What is going to be measured for one state of the page cache, and how long that takes."""
        each = f"{self.sessions} sessions of {self.restore} restores"
        return f"{each}, about {self.restores * self.restore_s:.0f} s"


Levels = Annotated[list[Annotated[int, Field(ge=1, le=MAX_AT_ONCE)]], Field(min_length=1, max_length=20)]


class AtOnce(Table):
    """How many restores begin at the same moment, one level after the other."""

    kvm: Levels
    emulated: Levels

    def levels(self, *, judged: bool) -> list[int]:
        return self.kvm if judged else self.emulated


class AfterRestore(Table):
    """How often clones are watched after a restore, and how long they idle before the last command."""

    kvm: Annotated[int, Field(ge=1, le=MAX_ROUNDS)]
    emulated: Annotated[int, Field(ge=1, le=MAX_ROUNDS)]
    idle_s: Positive

    def rounds(self, *, judged: bool) -> int:
        return self.kvm if judged else self.emulated


class Snapshots(Table):
    """How often a snapshot is taken, and how much memory its guest has filled before, in MiB."""

    kvm: Annotated[int, Field(ge=1, le=MAX_ROUNDS)]
    emulated: Annotated[int, Field(ge=1, le=MAX_ROUNDS)]
    dirty_mib: Annotated[list[Annotated[int, Field(ge=0)]], Field(min_length=1, max_length=20)]

    def rounds(self, *, judged: bool) -> int:
        return self.kvm if judged else self.emulated


class Perf(Table):
    """Rounds in lanes whose times are judged, and in emulated ones.

    max_unexplained_share: of the repetitions' wall time, the share that no phase explains, at most. cheap_seals,
    full_seals: how often each seal is checked, in every lane. overhead_loads: how often a snapshot is loaded by the
    suite and by a minimal client. The suite may add max_overhead_share of the latter's time, or max_overhead_ms.
    """

    kvm: Rounds
    emulated: Rounds
    at_once: AtOnce
    after_restore: AfterRestore
    snapshots: Snapshots
    cheap_seals: Annotated[int, Field(ge=1, le=MAX_ROUNDS)]
    full_seals: Annotated[int, Field(ge=1, le=MAX_ROUNDS)]
    overhead_loads: Annotated[int, Field(ge=1, le=MAX_ROUNDS)]
    max_overhead_share: Annotated[float, Field(ge=0, lt=1)]
    max_overhead_ms: Annotated[float, Field(ge=0)]
    max_unexplained_share: Annotated[float, Field(ge=0, lt=1)]

    def rounds(self, *, judged: bool) -> Rounds:
        return self.kvm if judged else self.emulated


class NoiseLimits(Table):
    """What a host may do beside a measurement of a time; with more, it is marked as noisy.

    Shares are of all processors' time. max_frequency_change: of the mean frequency, from before to after.
    """

    max_steal_share: Annotated[float, Field(ge=0, le=1)]
    max_others_share: Annotated[float, Field(ge=0, le=1)]
    max_other_vms: Annotated[int, Field(ge=0)]
    max_frequency_change: Annotated[float, Field(ge=0)]
    max_clock_step_ms: Annotated[float, Field(ge=0)]


class Comparing(Table):
    """How `hornetos compare` compares A with B.

    blocks: sessions of each side; restores: samples in a session of restores, a boot is a session of its own.
    tail_percentile: compared beside the median. error_rate: of reporting any difference where there is none, over all
    rows. power: with which the smallest detectable change would be found. resamples: of the bootstrap, and exchanges of
    blocks that are tried, at most. trials: comparisons from which an A/A run counts its false alarms.
    """

    blocks: Annotated[int, Field(ge=2, le=MAX_ROUNDS)]
    restores: Annotated[int, Field(ge=1, le=MAX_ROUNDS)]
    tail_percentile: Annotated[int, Field(gt=50, lt=100)]
    error_rate: Annotated[float, Field(gt=0, lt=1)]
    power: Annotated[float, Field(gt=0, lt=1)]
    resamples: Annotated[int, Field(ge=100, le=100_000)]
    trials: Annotated[int, Field(ge=1, le=MAX_ROUNDS)]


class Instructions(Table):
    """What is counted in instructions of the guest. commands: a script by the name of the tool that it uses."""

    rounds: Annotated[int, Field(ge=1, le=MAX_ROUNDS)]
    commands: dict[Token, Script]
