"""`hornetos validate DIR`: may this snapshot be used? The guide's SOP 2 and more, each line PASS or FAIL."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from hornet.spec.lane import lane_named
from hornet_cli.context import Settings, settings
from hornet_cli.vms import HostNetwork, NoSeal, running_fleet, snapshot_directory

if TYPE_CHECKING:
    from hornet.procedures.validate import Step

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
    verdicts = set()
    for step in steps(mine, snapshot, full=full, no_seal=no_seal, host_network=host_network):
        show(step)
        verdicts.add(step.verdict)
    word, code = ("holds", 0) if verdicts == {"PASS"} else ("could not be judged", 2)
    if "FAIL" in verdicts:
        word, code = "does not hold", 1
    print("validation:", word)
    raise typer.Exit(code)


def steps(mine: Settings, snapshot: str, *, full: bool, no_seal: bool, host_network: bool) -> Iterator[Step]:
    """Every step, as soon as it is known; none of the guest where a broken seal forbids the restore."""
    from hornet.procedures.validate import FILES, SEAL, STEPS, Step, file_steps, guest_steps
    from hornet.snapshot import open_bundle

    directory = snapshot_directory(mine, snapshot)
    done, failed = set(), set()
    for step in file_steps(directory, mine.spec, mine.workspace, full=full, progress=mine.progress):
        yield step
        done.add(step.name)
        failed |= {step.name} if step.verdict != "PASS" else set()
    forbidding = failed & ({FILES} if no_seal else {FILES, SEAL})
    if not forbidding:
        bundle = open_bundle(directory, mine.spec.snapshot)
        lane = lane_named(bundle.manifest().origin.lane)
        with running_fleet(mine, lane, host_network=host_network, no_seal=no_seal) as fleet:
            for step in guest_steps(bundle, fleet, egress=host_network):
                yield step
                done.add(step.name)
    why = f"the step {forbidding.pop()!r} did not pass" if forbidding else "the restore did not pass"
    yield from (Step(name, "NOT RUN", [why]) for name in STEPS if name not in done)


def show(step: Step) -> None:
    """One line per step, with its place among all; what is wrong below it."""
    from hornet.procedures.validate import STEPS

    below = step.verdict in ("FAIL", "NOT JUDGED")
    note = f": {'; '.join(step.lines)}" if step.lines and not below else ""
    print(f"{step.verdict:<7} [{STEPS.index(step.name) + 1}/{len(STEPS)}] {step.name}{note}")
    for line in step.lines if below else []:
        print("        " + line.replace("\n", "\n        "))
    sys.stdout.flush()
