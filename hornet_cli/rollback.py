"""`hornetos rollback VERSION`: choose the snapshot that production uses (guide: SOP 3), backward or forward."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hornet.errors import BrokenSnapshotError
from hornet_cli.context import settings
from hornet_cli.printer import AsJson, say, say_answer


def rollback(
    ctx: typer.Context,
    version: Annotated[str, typer.Argument(help="A version in HORNET_HOME/snapshots.")],
    as_json: AsJson = False,
) -> None:
    """Switch production to a version with one rename, after every byte of the version was checked.

    Production is a symbolic link (the spec's snapshot.production_link). VMs that run another version go on and are
    listed; none is ended. Exit code 0 if production uses the version now, 1 if its seal is broken, 2 if the switch
    could not be done.
    """
    from hornet.procedures.answers import OtherVersion, RollbackAnswer
    from hornet.procedures.rollback import roll_back
    from hornet.snapshot import production

    mine = settings(ctx)
    try:
        done = roll_back(mine.workspace, mine.spec.snapshot, version, mine.progress)
    except BrokenSnapshotError as error:
        unchanged = production(mine.workspace, mine.spec.snapshot)
        if as_json:
            say_answer(RollbackAnswer(False, _version(unchanged), _version(unchanged), str(error), []))
        else:
            say(f"{error}\nproduction is unchanged: {_version(unchanged) or 'none'}")
        raise typer.Exit(1) from error
    others = [OtherVersion(vm, it.snapshot or None, it.pid, it.owner_pid) for vm, it in done.others.items()]
    if as_json:
        say_answer(RollbackAnswer(True, done.now.directory.name, _version(done.before), "", others))
        return
    say(f"production: {done.now.directory.name} (before: {_version(done.before) or 'none'})")
    for it in others:
        other = Path(it.snapshot).name if it.snapshot else "booted from an image"
        say(f"still runs another version: {it.vm}: {other}, VMM process {it.pid}, owned by process {it.owner_pid}")


def _version(directory: Path | None) -> str | None:
    return directory.name if directory else None
