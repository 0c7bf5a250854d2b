"""The target metrics: spec/targets.toml (guide: Design Goals, Target Metrics)."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from hornet.spec.types import Line, Positive, Table, Token


class Quantity(Table):
    """Something that is measured and recorded. MB: 10^6 bytes; M instructions: 10^6; direction: which is better."""

    title: Line
    unit: Literal["MB", "KiB", "ms", "VMs", "lines", "faults", "M instructions", "per s"]
    direction: Literal["lower", "higher"]


class Metric(Quantity):
    """A target metric (guide: Design Goals, Target Metrics). Values are in `unit`.

    It has either a `target`, or a `target_tier` whose size limit is the target. Spec.target() returns the target.
    percentile: which percentile of the samples must meet it; None for the recorded value, with samples their median.
    must_run: whether only what ran is judged; records of it say so, and what was computed is a plan.
    baseline_of: what the baseline is a property of. The suite builds the image (--distro baseline), but no such kernel.
    """

    baseline: Positive
    baseline_of: Literal["image", "kernel"] = "image"
    target: Positive | None = None
    target_tier: Token | None = None
    stretch: Positive | None = None
    percentile: Annotated[int, Field(gt=50, lt=100)] | None = None
    needs: Literal["any", "kvm"]
    must_run: bool = False

    @model_validator(mode="after")
    def _one_target(self) -> Metric:
        if (self.target is None) == (self.target_tier is None):
            raise ValueError("expected either target or target_tier")
        return self

    def is_met(self, value: float, target: float) -> bool:
        """Whether `value` meets `target`, both in this metric's unit."""
        return value <= target if self.direction == "lower" else value >= target
