"""`hornetos validate DIR`: may this snapshot be used? The guide's SOP 2 and more, each line PASS or FAIL."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from hornet.lane import lane_named
from hornet_cli.context import Settings, settings
from hornet_cli.vms import HostNetwork, NoSeal, running_fleet, snapshot_directory

if TYPE_CHECKING:
    from hornet.validation import Step

SnapshotName = Annotated[str, typer.Argument(help="A version below HORNET_HOME/snapshots, or a directory.")]
Full = Annotated[bool, typer.Option("--full", help="Check every byte of the files, not only what a change must touch.")]


def validate(
    ctx: typer.Context,
    snapshot: SnapshotName,
    full: Full = False,
    no_seal: NoSeal = False,
    host_network: HostNetwork = False,
) -> None:
    """Judge a snapshot: files, seal, file system; then restored: SSH, tools, network, kernel, and the disk it leaves.

    Exit code 0 if every step passes, 1 if one fails, 2 if the snapshot could not be judged. Nothing is changed: the
    restored VM works on a private copy.
    """
    mine = settings(ctx)
    failed = False
    for step in steps(mine, snapshot, full=full, no_seal=no_seal, host_network=host_network):
        show(step)
        failed = failed or step.verdict != "PASS"
    print("validation:", "does not hold" if failed else "holds")
    raise typer.Exit(1 if failed else 0)


def steps(mine: Settings, snapshot: str, *, full: bool, no_seal: bool, host_network: bool) -> Iterator[Step]:
    """Every step, as soon as it is known; none of the guest where a broken seal forbids the restore."""
    from hornet.snapshot import open_bundle
    from hornet.validation import FILES, SEAL, STEPS, Step, file_steps, guest_steps

    directory = snapshot_directory(mine, snapshot)
    done, failed = set(), set()
    for step in file_steps(directory, mine.spec, mine.home, full=full, progress=mine.progress):
        yield step
        done.add(step.name)
        failed |= {step.name} if step.verdict == "FAIL" else set()
    forbidding = failed & ({FILES} if no_seal else {FILES, SEAL})
    if not forbidding:
        bundle = open_bundle(directory, mine.spec.snapshot)
        lane = lane_named(bundle.manifest().origin.lane)
        with running_fleet(mine, lane, host_network=host_network, no_seal=no_seal) as fleet:
            for step in guest_steps(bundle, fleet, egress=host_network):
                yield step
                done.add(step.name)
    why = f"the step {forbidding.pop()!r} failed" if forbidding else "the restore failed"
    yield from (Step(name, "NOT RUN", [why]) for name in STEPS if name not in done)


def show(step: Step) -> None:
    """One line per step, with its place among all; the problems of a failed one below it."""
    from hornet.validation import STEPS

    note = f": {'; '.join(step.lines)}" if step.lines and step.verdict != "FAIL" else ""
    print(f"{step.verdict:<7} [{STEPS.index(step.name) + 1}/{len(STEPS)}] {step.name}{note}")
    for line in step.lines if step.verdict == "FAIL" else []:
        print("        " + line.replace("\n", "\n        "))
    sys.stdout.flush()
