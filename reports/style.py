"""How pictures look: one ink, one set of colours that colour-blind readers can tell apart, SVG that a page can tint."""

from __future__ import annotations

import io
import re
from typing import TYPE_CHECKING

from hornet.results.verdict import Verdict
from hornet.text import printable

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# The page replaces these three by CSS variables of the same name, so that pictures follow light and dark.
INK, MUTED, GRID = "#1b2430", "#68727f", "#d5dbe3"
TINTS = {INK: "var(--ink)", MUTED: "var(--muted)", GRID: "var(--grid)"}

# Okabe and Ito's colours; the marker says the same as the colour, for readers who see none.
GREEN, VERMILION, BLUE, SKY = "#009e73", "#d55e00", "#0072b2", "#56b4e9"
VERDICT_MARKS = {
    Verdict.MEETS: ("o", GREEN, GREEN),
    Verdict.MISSES: ("X", VERMILION, VERMILION),
    Verdict.EMULATED: ("s", "none", BLUE),
    Verdict.INVALID_RECORD: ("s", "none", VERMILION),
}
PARTS = [BLUE, "#e69f00", GREEN, "#cc79a7", SKY, VERMILION, "#f0e442", "#6a51a3", "#8c510a", "#8a94a0"]


def new_figure(
    width_in: float, height_in: float, rows: int = 1, ratios: list[float] | None = None
) -> tuple[Figure, list[Axes]]:
    """A transparent figure with `rows` quiet axes under each other."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    mpl.rcParams.update(
        {
            "svg.fonttype": "none",
            "svg.hashsalt": "hornetos",
            "font.family": ["DejaVu Sans"],
            "font.size": 10,
            # What is drawn are names and numbers: a dollar sign is a dollar sign.
            "text.parse_math": False,
            "text.color": INK,
            "axes.edgecolor": GRID,
            "axes.labelcolor": MUTED,
            "xtick.color": MUTED,
            "ytick.color": INK,
        }
    )
    figure = Figure(figsize=(width_in, height_in), layout="constrained")
    axes = figure.subplots(rows, 1, squeeze=False, gridspec_kw={"height_ratios": ratios})[:, 0]
    for axis in axes:
        axis.set_facecolor("none")
        axis.spines[["top", "right", "left"]].set_visible(False)
        axis.tick_params(which="both", length=0)
        axis.grid(axis="x", color=GRID, linewidth=0.8)
        axis.set_axisbelow(True)
    return figure, list(axes)


def to_svg(figure: Figure) -> str:
    """The figure as a standalone SVG document, the same text for the same figure."""
    stream = io.StringIO()
    figure.savefig(stream, format="svg", transparent=True, metadata={"Date": None})
    # All that is not printable stands in names that are drawn; most of it may not even stand in XML.
    return printable(stream.getvalue())


def for_page(svg: str, title: str) -> str:
    """An SVG document as an element of a page: as wide as there is room, in the page's own inks and fonts."""
    element = svg[svg.index("<svg") :]
    element = re.sub(r' (width|height)="[\d.]+pt"', "", element, count=2)
    element = element.replace("<svg ", f'<svg role="img" aria-label="{title}" ', 1)
    for colour, variable in TINTS.items():
        element = element.replace(colour, variable)
    return element


def for_file(svg: str) -> str:
    """An SVG document that stands alone, readable on any background."""
    return svg.replace("<svg ", '<svg style="background:#ffffff" ', 1)
