"""`hornetos new-version FROM TO --script FILE`: SOP 1 of the guide, the way to change an image with a snapshot."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hornet.foreign_file import read_text
from hornet.text import printable
from hornet.vmm.registry import lane_named
from hornet_cli.context import settings
from hornet_cli.fleet import HostNetwork, SnapshotName, fleet, snapshot_directory
from hornet_cli.printer import say
from hornet_cli.validate import show

if TYPE_CHECKING:
    from hornet.vm.guest_script import Result

MAX_SCRIPT_BYTES = 16 << 20
# Of the script's output.
MAX_SHOWN_CHARACTERS = 100_000


def new_version(
    ctx: typer.Context,
    source: SnapshotName,
    target: Annotated[str, typer.Argument(help="The new version's name, as in hornetos-v1.1.")],
    script: Annotated[Path, typer.Option(help="A shell script with the changes.")],
    time_limit: Annotated[float, typer.Option(min=1.0, help="Timeout of the script in seconds.")] = 900.0,
    host_network: HostNetwork = False,
) -> None:
    """Restore FROM, run a script in the VM, snapshot it, validate the result, publish it as TO.

    The script runs as root in the guest (over SSH); with --host-network it reaches the Internet. Exit code 0 if TO was
    published, 1 if the script or the validation failed, 2 if it could not be done; then nothing is published.
    """
    from hornet.procedures.new_version import Change, Watcher, check_version_name, make_new_version
    from hornet.procedures.validate import outcome
    from hornet.snapshot import open_bundle

    mine = settings(ctx)
    check_version_name(mine.workspace, mine.spec.snapshot, target)
    old = open_bundle(snapshot_directory(mine, source), mine.spec.snapshot)
    change = Change(read_text(script, MAX_SCRIPT_BYTES), time_limit)
    with fleet(mine, lane_named(old.manifest().origin.lane), host_network=host_network) as vms:
        made = make_new_version(
            vms, old, target, change, egress=host_network, progress=mine.progress, watcher=Watcher(_show_output, show)
        )
    if made.exit_code:
        say(f"{script}: exit code {made.exit_code} in the VM: nothing is published")
        raise typer.Exit(1)
    if made.published is None:
        say("not published: " + ", ".join(f"{step.name}: {step.verdict}" for step in made.not_passed))
        raise typer.Exit(1 if outcome(made.not_passed) == "FAIL" else 2)
    say(f"published {made.published.directory}\n  next: hornetos rollback {target}, which puts it in production")


def _show_output(result: Result) -> None:
    """Print a script's output with a bar, so that no line looks like one of the suite."""
    output = printable((result.stdout + result.stderr).rstrip(), MAX_SHOWN_CHARACTERS)
    say(textwrap.indent(output, "  | ", lambda line: True))
