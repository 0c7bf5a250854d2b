"""How pictures look: one ink, one set of colours that colour-blind readers can tell apart, SVG that a page can tint."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

from hornet.results.verdict import Verdict
from hornet.text import printable

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Inches. Of a page on a screen or on paper, and of a phone: text is drawn for each, not scaled down.
WIDE_IN, NARROW_IN = 9.6, 4.0
# Of a name in a picture of this width; a heading is bold, and larger.
WIDE_CHARACTERS, NARROW_CHARACTERS, NARROW_HEADING_CHARACTERS = 60, 50, 42
PNG_DPI = 150
# From an axis to the legend under its numbers and its label.
LEGEND_BELOW_PT = 36
BETWEEN_PANELS_IN = 0.1

# The page replaces these three by CSS variables of the same name, so that pictures follow light and dark.
INK, MUTED, GRID = "#1b2430", "#5d6875", "#d5dbe3"
TINTS = {INK: "var(--ink)", MUTED: "var(--muted)", GRID: "var(--grid)"}

# Okabe and Ito's colours (Color Universal Design, 2008); marker or hatch says the same, for readers who see none.
GREEN, VERMILION, BLUE, SKY, ORANGE = "#009e73", "#d55e00", "#0072b2", "#56b4e9", "#e69f00"
VERDICT_MARKS = {
    Verdict.MEETS: ("o", GREEN, GREEN),
    Verdict.MISSES: ("X", VERMILION, VERMILION),
    Verdict.EMULATED: ("s", "none", BLUE),
    Verdict.PLAN: ("s", "none", BLUE),
    Verdict.INVALID_RECORD: ("s", "none", VERMILION),
}
# Mid-tones: visible on white and on a dark page.
FILLS = (BLUE, ORANGE, GREEN, "#cc79a7", SKY, VERMILION, "#9a7fd1", "#8a94a0")
HATCHES = ("", "////", "....", "xxxx")
LINES = ("solid", (0, (5, 2)), (0, (1.5, 1.5)), (0, (6, 2, 1.5, 2)))


@dataclass(frozen=True)
class Fill:
    """How an area is filled; no two of one picture are alike."""

    colour: str
    hatch: str


Draw = Callable[[float], "Figure | None"]
"""Draws a picture of a width in inches; None if there is nothing to show."""


def fills(names: Iterable[str]) -> dict[str, Fill]:
    """A fill for each name: eight colours, then the same with hatching. Raises ValueError for more than 32 names."""
    unique = list(dict.fromkeys(names))
    if len(unique) > len(FILLS) * len(HATCHES):
        raise ValueError(f"{len(unique)} parts in one picture, expected at most {len(FILLS) * len(HATCHES)}")
    return {name: Fill(FILLS[place % len(FILLS)], HATCHES[place // len(FILLS)]) for place, name in enumerate(unique)}


def is_narrow(width_in: float) -> bool:
    """Whether a picture is for a phone: row names then stand above their rows, not beside them."""
    return width_in < (WIDE_IN + NARROW_IN) / 2


def new_figure(width_in: float, heights_in: Sequence[float]) -> tuple[Figure, list[Axes]]:
    """A transparent figure with one quiet pair of axes for each height, under each other."""
    import matplotlib as mpl
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    mpl.rcParams.update(
        {
            "svg.fonttype": "none",
            "svg.hashsalt": "hornetos",
            "font.family": ["DejaVu Sans"],
            "font.size": 9 if is_narrow(width_in) else 10,
            # What is drawn are names and numbers: a dollar sign is a dollar sign.
            "text.parse_math": False,
            "text.color": INK,
            "axes.edgecolor": GRID,
            "axes.labelcolor": MUTED,
            "axes.labelsize": "medium",
            "hatch.linewidth": 1.2,
            "xtick.color": MUTED,
            "ytick.color": INK,
        }
    )
    layout = ConstrainedLayoutEngine(h_pad=BETWEEN_PANELS_IN)
    figure = Figure(figsize=(width_in, sum(heights_in)), layout=layout)
    ratios = list(heights_in)
    axes = figure.subplots(len(ratios), 1, squeeze=False, gridspec_kw={"height_ratios": ratios})[:, 0]
    for axis in axes:
        axis.set_facecolor("none")
        axis.spines[["top", "right", "left"]].set_visible(False)
        axis.tick_params(which="both", length=0)
        axis.grid(axis="x", color=GRID, linewidth=0.8)
        axis.set_axisbelow(True)
    return figure, list(axes)


def shortened(text: str, width_in: float, columns: int = 1) -> str:
    """A name as it is drawn: cut to what leaves room for the picture. Tables have all of it."""
    return _cut(text, (NARROW_CHARACTERS if is_narrow(width_in) else WIDE_CHARACTERS) // columns)


def _cut(text: str, most: int) -> str:
    return "\n".join(line if len(line) <= most else f"{line[: most - 1]}…" for line in text.split("\n"))


def name_rows(axis: Axes, names: Sequence[str], width_in: float, *, above: float) -> None:
    """Name rows at y = 0, 1, 2 …: beside them, or, in a narrow picture, `above` rows above each, on one line."""
    if not is_narrow(width_in):
        axis.set_yticks(range(len(names)), [shortened(name, width_in) for name in names])
        return
    axis.set_yticks([])
    for y, name in enumerate(names):
        axis.text(
            0,
            y - above,
            shortened(name.replace("\n", ", "), width_in),
            transform=axis.get_yaxis_transform(),
            ha="left",
            va="center",
            fontsize=8.5,
        )


def title(axis: Axes, width_in: float, *words: str) -> None:
    """A heading at the left edge: its words on one line, in a narrow picture below each other."""
    text = ("\n" if is_narrow(width_in) else ", ").join(filter(None, words))
    size, most = (9, NARROW_HEADING_CHARACTERS) if is_narrow(width_in) else (10.5, WIDE_CHARACTERS)
    axis.set_title(_cut(text, most), loc="left", fontsize=size, fontweight="bold")


def legend_below(axis: Axes, width_in: float, columns: int = 1) -> None:
    """A legend under the axis and its label, where nothing that is drawn runs through it."""
    from matplotlib.transforms import offset_copy

    handles, labels = axis.get_legend_handles_labels()
    figure = axis.get_figure()
    below = offset_copy(axis.transAxes, figure, 0, -LEGEND_BELOW_PT, units="points")  # type: ignore[arg-type]
    axis.legend(
        handles,
        [shortened(label, width_in, columns) for label in labels],
        loc="upper left",
        bbox_to_anchor=(0, 0),
        bbox_transform=below,
        borderaxespad=0,
        frameon=False,
        fontsize=8.5,
        handlelength=2,
        ncols=columns,
    )


def to_svg(figure: Figure) -> str:
    """The figure as a standalone SVG document, the same text for the same figure."""
    stream = io.StringIO()
    figure.savefig(stream, format="svg", transparent=True, metadata={"Date": None})
    # All that is not printable stands in names that are drawn; most of it may not even stand in XML.
    return printable(stream.getvalue())


def to_png(figure: Figure) -> bytes:
    """A figure that was saved before, as PNG on white, for where SVG is not shown."""
    figure.set_layout_engine("none")  # it is laid out, which takes as long as all the rest
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=PNG_DPI, facecolor="white", metadata={"Software": None})
    return stream.getvalue()


def for_page(svg: str, key: str, description: str) -> str:
    """An SVG document as an element of a page, in the page's inks and fonts.

    key: unique on the page; ids in the picture begin with it. description: what the picture shows, for readers who
    don't see it.
    """
    element = svg[svg.index("<svg") :]
    element = re.sub(r' (width|height)="[\d.]+pt"', "", element, count=2)
    element = re.sub(r'(\bid="|href="#|url\(#)', rf"\g<1>{key}-", element)
    element = element.replace("<svg ", f'<svg role="img" aria-label="{escape(description)}" ', 1)
    for colour, variable in TINTS.items():
        element = element.replace(colour, variable)
    return element


def for_file(svg: str) -> str:
    """An SVG document that stands alone, readable on any background."""
    return svg.replace("<svg ", '<svg style="background:#ffffff" ', 1)
