"""`hornetos runs`: the runs of this HORNET_HOME, with what each was of and how it was decided."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from hornet.errors import HornetError
from hornet_cli.context import Settings, settings
from hornet_cli.judging import demands_on, spec_of
from hornet_cli.printer import AsJson, say, say_json, show

if TYPE_CHECKING:
    from hornet.results.run import Run

COLUMNS = ("name", "started", "tier", "lane", "verdict", "duration_s")


def runs(
    ctx: typer.Context,
    as_json: AsJson = False,
) -> None:
    """List the runs, the newest first: name, start (UTC), tier, lane, verdict and duration.

    The verdict is decided anew, by the specification, policy and waivers that each run recorded.
    """
    from hornet.results.run_info import RUN_FILE

    mine = settings(ctx)
    directories = sorted({path.parent.resolve() for path in mine.workspace.reports.glob(f"*/{RUN_FILE}")}, reverse=True)
    found = [_row(mine, directory) for directory in directories]
    if as_json:
        say_json(found)
        return
    if not found:
        say(f"no run in {mine.workspace.reports}\n  next: hornetos run")
        return
    _show(found)


def _row(mine: Settings, directory: Path) -> dict[str, Any]:
    """One run as data; what is unknown is None."""
    from hornet.results.gate import decide
    from hornet.results.run import load_run

    run = load_run(directory)
    try:
        verdict = str(decide(spec_of(mine, run), run, demands_on(directory, None, None, require_kvm=False)).answer)
    except HornetError as error:
        verdict = f"not judged: {error.message}"
    return {
        "name": run.name,
        "started": run.sessions[0].started if run.sessions else None,
        "tier": run.tier,
        "lane": ", ".join(dict.fromkeys(case.lane for case in run.cases if case.lane)) or None,
        "verdict": verdict,
        "duration_s": _duration_s(run),
        "rerun_of": run.info.rerun_of if run.info else None,
    }


def _duration_s(run: Run) -> float | None:
    """How long its sessions took together; None if one has no end."""
    total_s = 0.0
    for session in run.sessions:
        if session.ended is None:
            return None
        total_s += (datetime.fromisoformat(session.ended) - datetime.fromisoformat(session.started)).total_seconds()
    return total_s if run.sessions else None


def _show(found: list[dict[str, Any]]) -> None:
    from rich.table import Table

    table = Table(*COLUMNS, box=None, pad_edge=False)
    for row in found:
        shown = {**row, "started": _minute(row["started"])}
        table.add_row(*("–" if shown[name] is None else str(shown[name]) for name in COLUMNS))
    show(table)


def _minute(time: str | None) -> str | None:
    """A time in ISO 8601, as short as a table needs it."""
    return datetime.fromisoformat(time).strftime("%Y-%m-%d %H:%M") if time else None
