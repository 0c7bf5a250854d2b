"""The target metrics: spec/targets.toml (guide: Design Goals, Target Metrics)."""

from __future__ import annotations

from typing import Literal

from hornet.spec.types import Line, Positive, Table


class Quantity(Table):
    """Something that is measured and recorded. MB is 10^6 bytes; direction: which way is better."""

    title: Line
    unit: Literal["MB", "KiB", "ms", "VMs", "lines"]
    direction: Literal["lower", "higher"]


class Metric(Quantity):
    """A target metric (guide: Design Goals, Target Metrics). Values are in `unit`."""

    baseline: Positive
    baseline_quote: Line
    target: Positive
    target_quote: Line
    stretch: Positive | None = None
    needs: Literal["any", "kvm"]

    def holds(self, value: float) -> bool:
        """Whether `value`, in this metric's unit, meets the target."""
        return value <= self.target if self.direction == "lower" else value >= self.target
