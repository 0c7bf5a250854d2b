"""`hornetos baseline`: runs kept under a name, to compare later runs with."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hornet_cli.context import Settings, settings
from hornet_cli.printer import AsJson, say, say_json
from hornet_cli.report import RunName, run_directory

if TYPE_CHECKING:
    from hornet.results.baselines import Baselines

baseline = typer.Typer(
    help="""Runs kept under a name, to compare later runs with: `--baseline NAME` of `run`, `report` and `gate`.

    A baseline is a copy in HORNET_HOME/baselines/, so the run may be deleted. `use` names the one that these commands
    compare with unless they are told otherwise.""",
    no_args_is_help=True,
)

Name = Annotated[str, typer.Argument(help="A baseline: `hornetos baseline list`.")]
NewName = Annotated[str, typer.Argument(help="Letters, digits, dots, hyphens and underscores.")]


def baselines(mine: Settings) -> Baselines:
    """The baselines of this HORNET_HOME."""
    from hornet.results.baselines import Baselines

    return Baselines(mine.workspace.baselines)


def baseline_directory(mine: Settings, name: str | None) -> Path | None:
    """The run that is compared with: a baseline or run by name, or a path; without one, the baseline in use.

    Raises HostError if there is none of that name.
    """
    known = baselines(mine)
    chosen = name or known.in_use()
    if chosen is None:
        return None
    if chosen in known.names() or name is None:
        return known.run(chosen)
    return run_directory(mine.workspace, chosen)


@baseline.command()
def save(ctx: typer.Context, name: NewName, run: RunName = "latest") -> None:
    """Keep a run under a name. Exit code 2 for a name that is taken, and for a run that did not end or was edited."""
    mine = settings(ctx)
    copy = baselines(mine).save(name, run_directory(mine.workspace, run).resolve())
    say(f"baseline {name}: run {copy.name}, {copy}")


@baseline.command("list")
def list_baselines(ctx: typer.Context, as_json: AsJson = False) -> None:
    """List the baselines with their runs; `*` marks the one in use."""
    known = baselines(settings(ctx))
    rows = [{"name": name, "run": known.run(name).name, "in_use": name == known.in_use()} for name in known.names()]
    if as_json:
        say_json(rows)
        return
    for row in rows:
        say(f"{'*' if row['in_use'] else ' '} {row['name']}  run {row['run']}")
    if not rows:
        say("no baseline\n  next: hornetos baseline save NAME RUN")


@baseline.command()
def use(
    ctx: typer.Context,
    name: Annotated[str | None, typer.Argument(help="A baseline: `hornetos baseline list`.")] = None,
    none: Annotated[bool, typer.Option("--none", help="Compare with none unless told otherwise.")] = False,
) -> None:
    """Compare with this baseline whenever `run`, `report` or `gate` has no --baseline."""
    if (name is None) != none:
        raise typer.BadParameter("give a name or --none")
    baselines(settings(ctx)).use(name)
    say(f"compared with: {name or 'none'}")


@baseline.command()
def remove(ctx: typer.Context, name: Name) -> None:
    """Remove a baseline; the run it was made from stays."""
    baselines(settings(ctx)).remove(name)
    say(f"removed: {name}")
