"""The cells of a matrix: lanes × tiers × kernels × lives. Each cell is a run of its own, of one value of each axis."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from hornet.errors import HostError
from hornet.host.artifact_store import file_sha256
from hornet.results.gate import Answer
from hornet.spec.model import Spec
from hornet.spec.types import Line, Table
from hornet.text import similar_names
from hornet.vm.life import LIVES
from hornet.vmm.registry import LANE_NAMES

Axis = Literal["lanes", "tiers", "kernels", "lives"]
AXES: tuple[Axis, ...] = ("lanes", "tiers", "kernels", "lives")
SINGULAR: dict[Axis, str] = {"lanes": "lane", "tiers": "tier", "kernels": "kernel", "lives": "life"}
MATRIX_FILE = "matrix.json"
FORMAT = 1
# A cell takes minutes, so a larger matrix is most likely a mistake.
MAX_CELLS = 100
NOT_OF_A_NAME = re.compile(r"[^A-Za-z0-9.]+")


@dataclass(frozen=True)
class Cell:
    """One value of each axis. kernel: a source of the spec's kernel, or the path of a vmlinux."""

    lane: str
    tier: str
    kernel: str
    life: str

    @property
    def name(self) -> str:
        """As in `qemu-tcg_standard_debian_booted`: a part of its run's name."""
        values = {**asdict(self), "kernel": kernel_label(self.kernel)}
        return "_".join(NOT_OF_A_NAME.sub("-", value) for value in values.values())


class MatrixCell(Table):
    """A cell and how it ended. kernel: a source of the spec, or a file name with the start of its SHA-256. run: its run
    in HORNET_HOME/reports; None if it has none. reason: the decision in a sentence, or why it did not run."""

    name: Line
    lane: Line
    tier: Line
    kernel: Line
    life: Line
    run: Line | None
    result: Answer
    reason: str


class MatrixFile(Table):
    """matrix.json, and what `hornetos run --matrix … --json` prints. begun: ISO 8601, UTC. suites: what each cell ran.
    result: of all cells."""

    format: Annotated[int, Field(ge=1, le=FORMAT)] = FORMAT
    name: Line
    begun: Line
    suites: list[Line]
    result: Answer
    headline: str
    cells: list[MatrixCell]


def kernel_label(kernel: str) -> str:
    """A kernel in a name: a source of the spec as it is; a file with its hash, because many are called vmlinux."""
    return f"{Path(kernel).name}-{file_sha256(Path(kernel))[:8]}" if is_file_name(kernel) else kernel


def is_file_name(kernel: str) -> bool:
    """Whether a value of the axis `kernels` is a path, and not a source of the spec."""
    return "/" in kernel


def parse_axes(texts: Sequence[str], spec: Spec) -> dict[Axis, list[str]]:
    """The axes of --matrix with their values: `lanes,tiers` stands for all that the spec and the suite know.

    texts: each a list of axes, or one axis with its values, as in `tiers=micro,dev`. Raises HostError for an unknown
    axis or value, an empty list, or one that is named twice.
    """
    known: dict[Axis, Sequence[str]] = {
        "lanes": LANE_NAMES,
        "tiers": list(spec.tiers),
        "kernels": list(spec.kernel.sources),
        "lives": LIVES,
    }
    found: dict[Axis, list[str]] = {}
    for text in texts:
        names, _, values = text.partition("=")
        for name in _words(names, text):
            axis = next((each for each in AXES if each == name), None)
            if axis is None:
                raise HostError(f"--matrix {text}: unknown axis {name!r}", f"use {', '.join(AXES)}")
            if axis in found:
                raise HostError(f"--matrix: {axis} is given twice", "give each axis once")
            chosen = _words(values, text) if "=" in text else list(known[axis])
            found[axis] = [_known(axis, value, known[axis]) for value in chosen]
    return found


def cells_of(axes: Mapping[Axis, Sequence[str]], single: Mapping[Axis, str]) -> list[Cell]:
    """Every cell, in the order of the axes. single: the value of each axis that is not in `axes`.

    Raises HostError for more cells than a matrix may have.
    """
    cells = [Cell(*values) for values in product(*(axes.get(axis) or [single[axis]] for axis in AXES))]
    if len(cells) > MAX_CELLS:
        raise HostError(f"--matrix: {len(cells)} cells, at most {MAX_CELLS} are allowed", "name fewer values")
    return cells


def _words(text: str, whole: str) -> list[str]:
    words = text.split(",")
    if "" in words or len(set(words)) < len(words):
        problem = "a value is empty" if "" in words else "a value is given twice"
        raise HostError(f"--matrix {whole}: {problem}", "separate them by commas, as in lanes,tiers or tiers=micro,dev")
    return words


def _known(axis: Axis, value: str, known: Iterable[str]) -> str:
    if value in known:
        return value
    if axis == "kernels" and is_file_name(value):
        if not Path(value).is_file():
            raise HostError(f"--matrix kernels: {value}: no such file", "name a vmlinux")
        return str(Path(value).resolve())
    also = ", or the path of a vmlinux, with a / in it" if axis == "kernels" else ""
    raise HostError(
        f"--matrix {axis}: unknown {SINGULAR[axis]} {value!r}{similar_names(value, known)}",
        f"use {', '.join(known)}{also}",
    )
