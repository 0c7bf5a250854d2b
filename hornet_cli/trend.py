"""`hornetos trend [METRIC]`: how metrics changed over runs, in which run, and with a new subject or without."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hornet.errors import HostError
from hornet.text import similar_names
from hornet_cli.context import settings
from hornet_cli.printer import say, say_json, show

if TYPE_CHECKING:
    from hornet.results.trend import ChangePoint
    from reports.trend import SeriesTrend

TREND_DIRECTORY = "trend"
COLUMNS = ("metric", "lane", "host", "tier", "runs", "median", "latest", "changes")


def trend(
    ctx: typer.Context,
    metric: Annotated[
        str | None, typer.Argument(help="A metric or other measurement; default: all target metrics.")
    ] = None,
    home: Annotated[
        list[Path] | None,
        typer.Option(help="A HORNET_HOME, or a directory of runs; repeatable; default: this HORNET_HOME."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """Show each metric over all runs, by lane, host and tier, with the runs at which its level changed.

    Writes HORNET_HOME/reports/trend/trend.html with pictures, in which a point leads to its run. Exit code 2 if there
    is no run, or none of them measured the metric.
    """
    from hornet.results.history import read_history, run_directories
    from reports.trend import as_data, trend_of, write_page

    mine = settings(ctx)
    places = [_reports(path) for path in home] if home else [mine.workspace.reports]
    directories = [directory for place in places for directory in run_directories(place)]
    history = read_history(directories, [metric] if metric else list(mine.spec.metrics))
    if not history.series:
        raise _nothing(places, metric, [*mine.spec.metrics, *mine.spec.measurements], history.problems)
    found = trend_of(history, mine.spec)
    if as_json:
        say_json(as_data(found))
        return
    _show(found.series)
    for problem in found.problems:
        say(problem)
    say(f"\n{found.runs} runs: {write_page(found, mine.workspace.directory('reports', TREND_DIRECTORY))}")


def _nothing(places: list[Path], metric: str | None, known: list[str], problems: list[str]) -> HostError:
    named = ", ".join(map(str, places))
    found = f"{metric}: no run in {named} measured it{similar_names(metric, known)}" if metric else f"{named}: no run"
    return HostError("; ".join([found, *problems[:3]]), "hornetos runs lists the runs, hornetos run makes one")


def _reports(path: Path) -> Path:
    """The directory of runs in a HORNET_HOME, or the path itself. Raises HostError if there is none."""
    if not path.is_dir():
        raise HostError(f"{path}: no such directory", "name a HORNET_HOME or a directory of run directories")
    return path / "reports" if (path / "reports").is_dir() else path


def _show(found: list[SeriesTrend]) -> None:
    from rich.table import Table

    from hornet.results.verdict import format_significant

    table = Table(box=None, pad_edge=False)
    for heading in COLUMNS:
        table.add_column(heading, overflow="fold")
    for item in found:
        series = item.series
        changes = [_words(change) for change in item.changes]
        name = f"{series.metric}\n  {series.label}" if series.label else series.metric
        table.add_row(
            name,
            series.lane or "–",
            item.host,
            series.tier or "–",
            str(len(series.points)),
            f"{format_significant(item.median)} {series.unit}",
            format_significant(item.latest),
            "\n".join(changes) or "none shown",
        )
    show(table)


def _words(change: ChangePoint) -> str:
    from hornet.results.verdict import format_significant

    factor = f", ×{format_significant(change.factor)}" if change.factor else ""
    subject = f"new {', '.join(change.new_subject)}" if change.new_subject else "same subject"
    return f"{change.change} at {change.point.run}{factor}, {subject}"
