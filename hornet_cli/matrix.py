"""`hornetos run --matrix`: one run for each cell of lanes × tiers × kernels × lives, and all of them side by side."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from hornet import __version__
from hornet.errors import HornetError, HostError
from hornet.host.durable import write_file
from hornet.vm.life import RESTORED
from hornet_cli.context import Settings
from hornet_cli.given import DEFAULT_TIER
from hornet_cli.printer import say, say_json, show
from hornet_cli.subprocesses import call

if TYPE_CHECKING:
    from hornet.results.columns import Column, Columns
    from hornet.results.gate import Demands
    from hornet.results.matrix import Axis, Cell, MatrixFile
    from hornet.spec.model import Spec

MATRIX_HELP = (
    "Judge each combination of several lanes, tiers, kernels (of the spec, or paths of a vmlinux) and lives, each in a "
    "run of its own, and show them side by side: `--matrix lanes,tiers,kernels` takes all of each, "
    "`--matrix tiers=micro,dev` these; repeatable. Each cell runs conformance, or --suite, and passes by what that "
    "proves. One that can't run here is not judged. With --lab, those of KVM lanes run in the lab."
)
SUITE = "conformance"
NOT_REACHED = "the matrix was interrupted before it had a run"
MAX_REASON = 400


@dataclass(frozen=True)
class CellRuns:
    """What all cells have in common. directory: of the matrix. words: options of `hornetos run`. distro: what images
    are built from; None if one is given. refused: why a kernel and tier could not be built."""

    mine: Settings
    directory: Path
    demands: Demands
    suites: Sequence[str]
    words: Sequence[str]
    distro: str | None
    in_lab: bool
    as_json: bool
    refused: dict[tuple[str, str], HornetError] = field(default_factory=dict)

    def run(self, cell: Cell) -> str:
        """Run a cell; returns why it has no run, or "" if it has one."""
        from hornet.results.matrix import is_file_name

        spec, words = self._of_kernel(cell.kernel)
        try:
            self._require(spec, cell)
        except HornetError as error:
            return error.message
        name = self.name_of(cell)
        chosen = {"lane": cell.lane, "tier": cell.tier, "life": cell.life, "name": name}
        lab = ["--lab"] if self._runs_in_lab(cell.lane) else []
        kernel = [f"--kernel={cell.kernel}"] if is_file_name(cell.kernel) else []
        options = [*(f"--{option}={value}" for option, value in chosen.items()), *lab, *kernel, *self.words]
        argv = [sys.executable, "-m", "hornet_cli", *words, "run", *options]
        code = call(argv, output=sys.stderr if self.as_json else None)
        return "" if self.has_run(cell) else f"its run ended with exit code {code} and left no results: see its output"

    def has_run(self, cell: Cell) -> bool:
        return (self.mine.workspace.reports / self.name_of(cell)).is_dir()

    def name_of(self, cell: Cell) -> str:
        return f"{self.directory.name}_{cell.name}"

    def column(self, cell: Cell, missing: str) -> Column:
        """The cell's run, decided by what its suites prove."""
        from hornet.results.columns import column_of
        from hornet.results.gate import Decision
        from hornet.results.run import Run
        from hornet.results.scope import decide_suites

        def decide(spec: Spec, run: Run) -> Decision:
            return decide_suites(spec, run, self.demands, self.suites)

        name = self.name_of(cell)
        place = self.mine.workspace.reports / name
        return column_of(cell.name, place, missing, self._of_kernel(cell.kernel)[0], decide, f"../{name}/report.html")

    def _of_kernel(self, kernel: str) -> tuple[Spec, list[str]]:
        """The spec of a cell, and the global options with which a command has the same."""
        from hornet.results.matrix import is_file_name

        overlays = list(self.mine.overlays)
        if not is_file_name(kernel) and kernel != self.mine.spec.kernel.source:
            overlay = self.directory / f"kernel-{kernel}.toml"
            if not overlay.exists():
                write_file(overlay, f'[kernel]\nsource = "{kernel}"\n')
            overlays.append(overlay)
        words = [f"--spec={self.mine.spec_path.resolve()}"] if self.mine.spec_path else []
        words += [f"--overlay={overlay.resolve()}" for overlay in overlays]
        return self.mine.spec_with(overlays[len(self.mine.overlays) :]), words

    def _runs_in_lab(self, lane: str) -> bool:
        from hornet.vmm.registry import lane_named

        return self.in_lab and lane_named(lane).accelerator == "kvm"

    def _require(self, spec: Spec, cell: Cell) -> None:
        """Build what the cell needs, and see that its lane works. Raises HornetError with why it can't run here."""
        from hornet.vm.lanes import require_lane, require_program
        from hornet.vmm.registry import lane_named

        require_program(lane_named(cell.lane))
        vmlinux = self._built(spec, cell)
        if not self._runs_in_lab(cell.lane):
            require_lane(self.mine.workspace, vmlinux, spec, cell.lane)

    def _built(self, spec: Spec, cell: Cell) -> Path:
        """The cell's kernel. What could not be built for one cell is not tried again for the next."""
        from builders.images import build_image
        from builders.kernel import build_kernel
        from hornet.formats.kernel_file import require_vmlinux
        from hornet.results.matrix import is_file_name

        workspace, progress = self.mine.workspace, self.mine.progress
        key = (cell.kernel, cell.tier)
        if known := self.refused.get(key):
            raise known
        try:
            if self.distro:
                build_image(spec, workspace, progress, tier=cell.tier, distro=self.distro)
            if is_file_name(cell.kernel):
                return require_vmlinux(Path(cell.kernel))
            return build_kernel(spec, workspace, progress).vmlinux
        except HornetError as error:
            self.refused[key] = error
            raise


def run_matrix(runs: CellRuns, cells: Sequence[Cell]) -> None:
    """Run every cell, write the page and matrix.json, print them, and end with the exit code of all.

    Exit code 0 if every cell passed, 1 if one failed, 2 if one was not judged. If a signal ends it, both files have
    what ran until then, and name the cells that did not run.
    """
    begun = datetime.now(UTC).isoformat(timespec="seconds")
    columns: list[Column] = []
    try:
        for number, cell in enumerate(cells, 1):
            runs.mine.progress.say(f"cell {number} of {len(cells)}: {cell.name}")
            missing = runs.run(cell)
            if missing:
                runs.mine.progress.say(f"{cell.name}: not judged: {missing}")
            columns.append(runs.column(cell, missing))
    except KeyboardInterrupt:
        rest = cells[len(columns) :]
        columns += [runs.column(cell, "" if runs.has_run(cell) else NOT_REACHED) for cell in rest]
        _report(runs, cells, columns, begun)
        raise
    raise typer.Exit(_report(runs, cells, columns, begun))


def _report(runs: CellRuns, cells: Sequence[Cell], columns: Sequence[Column], begun: str) -> int:
    """Write and print the matrix; returns the exit code."""
    from hornet.results.columns import Columns
    from hornet.results.matrix import MATRIX_FILE
    from reports.columns import MATRIX_PAGE, Heading, write_columns_page
    from reports.matrix import matrix_table

    all_of_them = Columns("cell", columns)
    found = _as_file(runs, cells, all_of_them, begun)
    write_file(runs.directory / MATRIX_FILE, json.dumps(found.model_dump(mode="json"), indent=1) + "\n")
    heading = Heading("matrix", runs.directory.name, begun, __version__)
    page = write_columns_page(runs.directory / MATRIX_PAGE, heading, all_of_them, runs.mine.spec)
    if runs.as_json:
        say_json(found.model_dump(mode="json"))
    else:
        show(matrix_table(found))
        for cell_found in found.cells:
            say(f"{cell_found.name}: {cell_found.reason}")
        say(f"matrix {found.name} {found.headline}\n\nreport: {page}")
    return all_of_them.answer.exit_code


def _as_file(runs: CellRuns, cells: Sequence[Cell], columns: Columns, begun: str) -> MatrixFile:
    from hornet.results.matrix import MatrixCell, MatrixFile, kernel_label

    return MatrixFile(
        name=runs.directory.name,
        begun=begun,
        suites=list(runs.suites),
        result=columns.answer,
        headline=columns.headline,
        cells=[
            MatrixCell(
                name=cell.name,
                lane=cell.lane,
                tier=cell.tier,
                kernel=kernel_label(cell.kernel),
                life=cell.life,
                run=None if column.missing else runs.name_of(cell),
                result=column.decision.answer,
                reason=_reason(column),
            )
            for cell, column in zip(cells, columns.columns, strict=True)
        ],
    )


def _reason(column: Column) -> str:
    """The decision in one sentence, with the first thing that speaks against it."""
    from hornet.text import one_line

    decision = column.decision
    against = [*decision.failures, *decision.unjudged]
    said = column.missing or "; ".join([decision.headline, *against[:1]])
    more = f" (and {len(against) - 1} more)" if len(against) > 1 and not column.missing else ""
    return one_line(f"{decision.answer}: {said}" if column.missing else said + more, MAX_REASON)


def start_matrix(
    mine: Settings,
    texts: Sequence[str],
    given: Mapping[str, str | None],
    demands: Demands,
    suites: Sequence[str] | None,
    words: Sequence[str],
    *,
    distro: str | None,
    in_lab: bool,
    as_json: bool,
) -> None:
    """Run the matrix of --matrix. given: what the command line says of single values. Otherwise see CellRuns.

    Raises BadParameter for an option that contradicts the matrix, and HostError for an axis or a value that is unknown.
    """
    from hornet.results.matrix import SINGULAR, cells_of, parse_axes

    axes = parse_axes(texts, mine.spec)
    for axis in axes:
        if (value := given.get(axis)) not in (None, RESTORED):
            raise typer.BadParameter(f"--{SINGULAR[axis]} {value}: the matrix has {axis} of its own: leave one out")
    if in_lab and "lanes" not in axes and not given["lanes"]:
        raise typer.BadParameter("--lab: name the lanes: add --matrix lanes, or --lane")
    single: dict[Axis, str] = {
        "lanes": given["lanes"] or ("" if "lanes" in axes else _best_lane(mine)),
        "tiers": given["tiers"] or DEFAULT_TIER,
        "kernels": mine.spec.kernel.source,
        "lives": given["lives"] or RESTORED,
    }
    chosen = list(suites or [SUITE])
    of_suites = [] if "--quick" in words else [f"--suite={suite}" for suite in chosen]
    cells = cells_of(axes, single)
    runs = CellRuns(mine, new_directory(mine), demands, chosen, [*words, *of_suites], distro, in_lab, as_json)
    run_matrix(runs, cells)


def _best_lane(mine: Settings) -> str:
    """The lane of a matrix that spans none: the best that works here. Raises HornetError."""
    from builders.kernel import build_kernel
    from hornet_cli.fleet import choose_lane

    return str(choose_lane(mine, build_kernel(mine.spec, mine.workspace, mine.progress).vmlinux, None))


def new_directory(mine: Settings) -> Path:
    """The directory of a matrix that begins now, beside its runs. Raises HostError."""
    directory = mine.workspace.path("reports", time.strftime("matrix-%Y%m%d-%H%M%S"))
    try:
        directory.mkdir()
    except FileExistsError:
        raise HostError(f"{directory}: another matrix began in this second", "run it again") from None
    return directory
