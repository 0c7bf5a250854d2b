"""What a clone costs after its restore, step by step: time, and what is read from the disk; cold and hot."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import cycle
from typing import TYPE_CHECKING

from hornet.results.records import Record
from reports.style import FILLS, legend_below, name_rows, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TIME, READ, FAULTS = "after_restore", "after_restore_read", "after_restore_faults"
ROW_HEIGHT_IN, BAR_HEIGHT = 0.45, 0.32


def by_step(records: Sequence[Record], name: str) -> dict[str, dict[str, Record]]:
    """The records of a measurement by step, in their order, and by the state of the page cache."""
    found: dict[str, dict[str, Record]] = {}
    for record in records:
        if record.name == name and {"step", "page_cache"} <= record.dimensions.keys():
            cache = " ".join(str(record.dimensions[key]) for key in ("page_cache", "kind") if key in record.dimensions)
            found.setdefault(str(record.dimensions["step"]), {})[cache] = record
    return found


def step_name(step: str) -> str:
    """A step as it is shown."""
    return step.replace("_", " ")


def after_restore(records: Sequence[Record], width_in: float) -> Figure | None:
    """A bar for each step and state of the page cache: above the time, below the bytes from the disk."""
    panels = [(by_step(records, TIME), "ms"), (by_step(records, READ), "MB read from the disk")]
    if not all(steps for steps, _ in panels):
        return None
    figure, axes = new_figure(width_in, [ROW_HEIGHT_IN * len(steps) + 0.8 for steps, _ in panels])
    for axis, (steps, label) in zip(axes, panels, strict=True):
        caches = sorted({cache for of_step in steps.values() for cache in of_step})
        for place, (cache, colour) in enumerate(zip(caches, cycle(FILLS))):
            rows = [(y, of_step[cache].value) for y, of_step in enumerate(steps.values()) if cache in of_step]
            heights = [y + (place - (len(caches) - 1) / 2) * BAR_HEIGHT for y, _ in rows]
            axis.barh(heights, [value for _, value in rows], BAR_HEIGHT, color=colour, label=cache)
        name_rows(axis, [step_name(step) for step in steps], width_in, above=0.45)
        axis.set_xlim(left=0)
        axis.set_xlabel(label)
        axis.invert_yaxis()
    legend_below(axes[-1], width_in)
    return figure
