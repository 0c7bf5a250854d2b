"""`hornetos report`: write the report of a run and show the verdicts."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hornet.errors import HostError
from hornet.host.workspace import Workspace
from hornet.results.collected import COLLECTED_FILE
from hornet.text import similar_names
from hornet_cli.context import settings
from hornet_cli.judging import PolicyOption, WaiversOption, demands_on, spec_of
from hornet_cli.printer import say, show

Baseline = Annotated[
    str | None,
    typer.Option(help="A baseline, or a run by name or path, to compare with; default: the one in use."),
]
RunName = Annotated[str, typer.Argument(help="A run in HORNET_HOME/reports, or the path of a run directory.")]


def run_directory(workspace: Workspace, name: str) -> Path:
    """The directory of a run given by its name or its path. Raises HostError, with names like it, if there is none."""
    named = workspace.reports / name
    found = named if named.is_dir() else Path(name)
    if not found.is_dir():
        known = sorted(path.parent.name for path in workspace.reports.glob(f"*/{COLLECTED_FILE}"))
        latest = ", ".join(known[-3:]) or "none yet"
        raise HostError(
            f"{name}: no such run{similar_names(name, known)}", f"name a run directory; the latest: {latest}"
        )
    return found


def report(
    ctx: typer.Context,
    run: RunName = "latest",
    baseline: Baseline = None,
    policy: PolicyOption = None,
    waivers: WaiversOption = None,
) -> None:
    """Write report.html, report.md and report.json of a run, and show its verdicts."""
    from hornet.results.run import load_run
    from hornet_cli.baseline import baseline_directory
    from reports import build_report, verdict_table
    from reports.terminal import as_table

    mine = settings(ctx)
    directory = run_directory(mine.workspace, run)
    before = baseline_directory(mine, baseline)
    spec = spec_of(mine, load_run(directory))
    demands = demands_on(directory, policy, waivers, require_kvm=False)
    paths = build_report(directory, spec, demands, baseline=before)
    show(as_table(verdict_table(directory, spec)))
    say(f"\nreport: {paths.html}")
