"""`hornetos new-version FROM TO --script FILE`: SOP 1 of the guide, the only way to change what has a snapshot."""

from __future__ import annotations

import re
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hornet.errors import SnapshotError
from hornet.foreign_file import read_text
from hornet.spec.lane import lane_named
from hornet.text import printable
from hornet_cli.context import Settings, settings
from hornet_cli.validate import SnapshotName, show
from hornet_cli.vms import HostNetwork, running_fleet, snapshot_directory

if TYPE_CHECKING:
    from hornet.snapshot import Bundle
    from hornet.vm.fleet import VM, Fleet

MAX_SCRIPT_BYTES = 16 << 20
# Of what the script printed.
MAX_SHOWN_CHARACTERS = 100_000
VERSION_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


def new_version(
    ctx: typer.Context,
    source: SnapshotName,
    target: Annotated[str, typer.Argument(help="The new version's name, as in hornetos-v1.1.")],
    script: Annotated[Path, typer.Option(help="A shell script with the changes.")],
    time_limit: Annotated[float, typer.Option(min=1.0, help="Seconds that the script may take.")] = 900.0,
    host_network: HostNetwork = False,
) -> None:
    """Restore FROM, run a script in the VM, snapshot it, validate the result, publish it as TO.

    The script runs as root in the guest (over SSH); with --host-network it reaches the Internet. Exit code 0 if TO was
    published, 1 if the script or the validation failed, 2 if it could not be done; then nothing is published.
    """
    from hornet.snapshot import open_bundle
    from hornet.vm.snapshotting import origin_of_child, take_snapshot

    mine = settings(ctx)
    _check_name(mine, target)
    bundle = open_bundle(snapshot_directory(mine, source), mine.spec.snapshot)
    progress = mine.progress
    with running_fleet(mine, lane_named(bundle.manifest().origin.lane), host_network=host_network) as fleet:
        with progress.step("new version", f"restoring {bundle.directory.name}"):
            vm = fleet.restore(bundle, snapshottable=True)
        with progress.step("new version", f"running {script.name} in the VM"):
            _run_script(vm, script, time_limit)
        progress.say("new version: snapshotting and validating …")
        origin = origin_of_child(vm, mine.spec)
        made = take_snapshot(
            vm,
            mine.workspace,
            mine.spec,
            version=target,
            origin=origin,
            before_publishing=lambda child: _validate(mine, fleet, vm, child, egress=host_network),
        )
    print(f"published {made.directory}\nto use it: hornetos rollback {target}")


def _check_name(mine: Settings, target: str) -> None:
    if not VERSION_NAME.fullmatch(target) or target == mine.spec.snapshot.production_link:
        raise SnapshotError(f"{target!r} can't be a version's name", "use letters, digits, dots, dashes: hornetos-v1.1")
    if (mine.workspace.snapshots / target).exists():
        raise SnapshotError(f"{target}: exists already", "choose another version name: snapshots never change")


def _run_script(vm: VM, script: Path, time_limit_s: float) -> None:
    result = vm.guest.run(read_text(script, MAX_SCRIPT_BYTES), time_limit_s)
    said = printable((result.stdout + result.stderr).rstrip(), MAX_SHOWN_CHARACTERS)
    # Marked, so that nothing of it reads like a word of ours.
    print(textwrap.indent(said, "  | ", lambda line: True))
    if result.exit_code != 0:
        print(f"{script}: exit code {result.exit_code} in the VM: nothing is published")
        raise typer.Exit(1)


def _validate(mine: Settings, fleet: Fleet, vm: VM, child: Bundle, *, egress: bool) -> None:
    """Judge the new snapshot while it has no name yet."""
    from hornet.procedures.validate import file_steps, guest_steps

    fleet.remove(vm)
    verdicts: dict[str, str] = {}
    for steps in (
        file_steps(child.directory, mine.spec, mine.workspace, full=False, progress=mine.progress),
        guest_steps(child, fleet, egress=egress),
    ):
        for step in steps:
            show(step)
            verdicts |= {step.name: step.verdict} if step.verdict != "PASS" else {}
    if verdicts:
        print("not published: " + ", ".join(f"{name}: {verdict}" for name, verdict in verdicts.items()))
        raise typer.Exit(1 if "FAIL" in verdicts.values() else 2)
    # The restored VM had its own disk: nothing of the new snapshot may have changed.
    with mine.progress.step("full seal", "reading every byte before publishing"):
        child.check_full(mine.progress)
