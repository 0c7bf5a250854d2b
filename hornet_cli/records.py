"""`hornetos records RUN…`: what runs have measured, as a table for other programs."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Annotated

import typer

from hornet.errors import HostError
from hornet_cli.context import settings
from hornet_cli.printer import say
from hornet_cli.report import run_directory


def records(
    ctx: typer.Context,
    runs: Annotated[
        list[str] | None,
        typer.Argument(help="Runs in HORNET_HOME/reports, or paths of run directories; default: latest."),
    ] = None,
    csv: Annotated[Path | None, typer.Option(help="Write CSV to this file instead of the terminal.")] = None,
    jsonl: Annotated[Path | None, typer.Option(help="Write JSON Lines to this file, one object per sample.")] = None,
    parquet: Annotated[Path | None, typer.Option(help="Write Parquet to this file; it keeps types.")] = None,
) -> None:
    """Print every sample of runs, one row each, as CSV (docs/own-plots.md).

    Exit code 2 if a run does not exist or has no records.
    """
    from hornet.results.run import load_run
    from reports.frames import records_frame

    mine = settings(ctx)
    loaded = [load_run(run_directory(mine.workspace, name)) for name in runs or ["latest"]]
    frame = records_frame(loaded)
    if frame.empty:
        named = ", ".join(str(run.directory) for run in loaded)
        raise HostError(f"{named}: no records", "measure with `hornetos run` or `pytest tests/perf`")
    if parquet:
        if importlib.util.find_spec("pyarrow") is None:
            raise HostError("Parquet needs pyarrow, which is not installed", "pip install 'hornetos-suite[parquet]'")
        frame.to_parquet(parquet, index=False)
    if csv:
        frame.to_csv(csv, index=False)
    if jsonl:
        frame.to_json(jsonl, orient="records", lines=True)
    if not (csv or jsonl or parquet):
        say(frame.to_csv(index=False).rstrip())
    for path in filter(None, (csv, jsonl, parquet)):
        say(f"{len(frame)} samples of {frame['metric'].nunique()} metrics: {path}")
