"""`hornetos rollback VERSION`: choose the snapshot that production uses (guide: SOP 3), backward or forward."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hornet.errors import BrokenSnapshotError
from hornet_cli.context import settings
from hornet_cli.printer import say


def rollback(
    ctx: typer.Context,
    version: Annotated[str, typer.Argument(help="A version in HORNET_HOME/snapshots.")],
) -> None:
    """Switch production to a version with one rename, after every byte of the version was checked.

    Production is a symbolic link (the spec's snapshot.production_link). VMs that run another version go on and are
    listed; none is ended. Exit code 0 if production uses the version now, 1 if its seal is broken, 2 if the switch
    could not be done.
    """
    from hornet.procedures.rollback import roll_back
    from hornet.snapshot import production

    mine = settings(ctx)
    try:
        done = roll_back(mine.workspace, mine.spec.snapshot, version, mine.progress)
    except BrokenSnapshotError as error:
        say(f"{error}\nproduction is unchanged: {_name(production(mine.workspace, mine.spec.snapshot))}")
        raise typer.Exit(1) from error
    say(f"production: {done.now.directory.name} (before: {_name(done.before)})")
    for name, state in done.others.items():
        other = Path(state.snapshot).name if state.snapshot else "booted from an image"
        say(f"still runs another version: {name}: {other}, VMM process {state.pid}, owned by process {state.owner_pid}")


def _name(directory: Path | None) -> str:
    return directory.name if directory else "none"
