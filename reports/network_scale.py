"""Draws the cost per VM of a network against the number of VMs: python -m reports.network_scale RUN FILE.svg"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from hornet.results.records import RECORDS_FILE, Record, read_records
from reports.style import BLUE, GREEN, MUTED, WIDE_IN, new_figure, title, to_svg

METHODS = {"suite": ("this suite", BLUE), "ip_batch": ("ip -batch", GREEN), "guide": ("the guide's commands", MUTED)}
PANELS = {"network_create": "creation", "network_remove": "removal, until the names are free"}


def picture(records: Sequence[Record]) -> str | None:
    """Creation and removal by method, in ms per VM, on logarithmic axes; None if the run did not measure them."""
    shown = [record for record in records if record.name in PANELS]
    if not shown:
        return None
    figure, axes = new_figure(WIDE_IN, [3.2] * len(PANELS))
    for axis, (name, heading) in zip(axes, PANELS.items(), strict=True):
        for method, (label, colour) in METHODS.items():
            mine = [it for it in shown if it.name == name and it.dimensions["method"] == method]
            points = sorted((int(it.dimensions["vms"]), it.value) for it in mine)
            if points:
                axis.plot(*zip(*points, strict=True), marker="o", color=colour, linewidth=1.8)
                axis.annotate(label, points[-1], (8, 0), textcoords="offset points", va="center", color=colour)
        axis.set_xscale("log")
        axis.set_yscale("log")
        axis.margins(x=0.2)
        title(axis, WIDE_IN, heading)
        axis.set_ylabel("ms per VM")
    axes[-1].set_xlabel("VMs")
    return to_svg(figure)


def main() -> None:
    run, out = map(Path, sys.argv[1:])
    svg = picture(read_records(run / RECORDS_FILE)[0])
    if svg is None:
        sys.exit(f"{run}: no records of the network's cost: run tests/scale")
    out.write_text(svg)


if __name__ == "__main__":
    main()
