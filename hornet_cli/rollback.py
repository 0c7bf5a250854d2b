"""`hornetos rollback VERSION`: choose the snapshot that production uses (guide: SOP 3), back or forward."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hornet.errors import BrokenSnapshotError
from hornet_cli.context import settings


def rollback(
    ctx: typer.Context,
    version: Annotated[str, typer.Argument(help="A version below HORNET_HOME/snapshots.")],
) -> None:
    """Switch production to a version at once, by one rename; every byte of it is checked before.

    Production is a symbolic link (the spec's snapshot.production_link). VMs that run go on with what they were restored
    from, and are listed; none is ended. Exit code 0 if production uses the version now, 1 if its seal is broken, 2 if
    it could not be done.
    """
    from hornet.snapshot import open_bundle, production, switch_production
    from hornet.vm.fleet import running_vms

    mine = settings(ctx)
    names = mine.spec.snapshot
    bundle = open_bundle(mine.workspace.path("snapshots", Path(version).name), names)
    try:
        with mine.progress.step("rollback", f"checking every byte of {bundle.directory.name}"):
            bundle.check_full(mine.progress)
    except BrokenSnapshotError as error:
        print(f"{error}\nproduction stays as it is: {_name(production(mine.workspace, names))}")
        raise typer.Exit(1) from error
    old, running = production(mine.workspace, names), running_vms(mine.workspace)
    switch_production(mine.workspace, bundle)
    print(f"production: {bundle.directory.name} (before: {_name(old)})")
    for name, state in running.items():
        if state.snapshot != str(bundle.directory):
            other = Path(state.snapshot).name if state.snapshot else "booted from an image"
            print(f"still runs another version: {name}: {other}, VMM process {state.pid}, of {state.owner_pid}")


def _name(directory: Path | None) -> str:
    return directory.name if directory else "none"
