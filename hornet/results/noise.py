"""The noise of a host during a measurement, and what of it is too much: spec/measuring.toml, [noise]."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from hornet.host.noise import Reading
from hornet.spec.measuring import NoiseLimits

Share = Annotated[float, Field(ge=0, le=1)]


class Noise(BaseModel):
    """What the host did beside a measurement.

    steal_share: of the processors' time, what the hypervisor below gave to others; others_share: what other processes
    used. load_before, load_after: the load average of a minute per core, which contains the measurement itself. mhz:
    the processors' mean frequency, None where the kernel does not show it. other_vms: VMs that were not of this run,
    at most at one moment. clock_step_ms: by how much the wall clock was set meanwhile.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    steal_share: Share
    others_share: Share
    load_before: Annotated[float, Field(ge=0)]
    load_after: Annotated[float, Field(ge=0)]
    mhz_before: Annotated[float, Field(gt=0)] | None
    mhz_after: Annotated[float, Field(gt=0)] | None
    other_vms: Annotated[int, Field(ge=0)]
    clock_step_ms: float

    @classmethod
    def between(cls, before: Reading, after: Reading) -> Noise:
        """The noise from one reading to a later one."""
        ticks = max(1, after.ticks - before.ticks)
        busy, own = after.busy_ticks - before.busy_ticks, after.own_ticks - before.own_ticks
        stepped_ns = (after.wall_clock_ns - before.wall_clock_ns) - (after.clock_ns - before.clock_ns)
        return cls(
            steal_share=_share((after.steal_ticks - before.steal_ticks) / ticks),
            others_share=_share((busy - own) / ticks),
            load_before=round(before.load_per_core, 2),
            load_after=round(after.load_per_core, 2),
            mhz_before=before.mhz,
            mhz_after=after.mhz,
            other_vms=max(before.other_vms, after.other_vms),
            clock_step_ms=round(stepped_ns / 1e6, 3),
        )


def _share(value: float) -> float:
    return round(min(1.0, max(0.0, value)), 4)


def noise_problems(noise: Noise, limits: NoiseLimits) -> Iterator[str]:
    """Why a measurement with this noise is a noisy one: a phrase for each reason."""
    if noise.steal_share > limits.max_steal_share:
        yield f"the hypervisor took {noise.steal_share:.1%} of the time, at most {limits.max_steal_share:.1%} is quiet"
    if noise.others_share > limits.max_others_share:
        yield f"other processes used {noise.others_share:.1%}, at most {limits.max_others_share:.1%} is quiet"
    if noise.other_vms > limits.max_other_vms:
        yield f"{noise.other_vms} other VMs ran, at most {limits.max_other_vms} is quiet"
    if noise.mhz_before and noise.mhz_after:
        change = abs(noise.mhz_after / noise.mhz_before - 1)
        if change > limits.max_frequency_change:
            yield f"the frequency went from {noise.mhz_before:.0f} to {noise.mhz_after:.0f} MHz"
    if abs(noise.clock_step_ms) > limits.max_clock_step_ms:
        yield f"the clock was set by {noise.clock_step_ms:+.0f} ms"
