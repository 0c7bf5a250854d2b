"""`hornetos new-version FROM TO --script FILE`: SOP 1 of the guide, the way to change an image with a snapshot."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hornet.foreign_file import read_text
from hornet.text import printable
from hornet.vmm.registry import lane_named
from hornet_cli.context import settings
from hornet_cli.fleet import HostNetwork, SnapshotName, fleet, snapshot_directory
from hornet_cli.printer import AsJson, say, say_answer
from hornet_cli.validate import show

if TYPE_CHECKING:
    from hornet.procedures.answers import NewVersionVerdict
    from hornet.procedures.new_version import NewVersion
    from hornet.procedures.validate import Step
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
    as_json: AsJson = False,
) -> None:
    """Restore FROM, run a script in the VM, snapshot it, validate the result, publish it as TO.

    The script runs as root in the guest (over SSH); with --host-network it reaches the Internet. Exit code 0 if TO was
    published, 1 if the script or the validation failed, 2 if it could not be done; then nothing is published.
    """
    from hornet.procedures.answers import NewVersionAnswer
    from hornet.procedures.new_version import Change, Watcher, check_version_name, make_new_version
    from hornet.snapshot import open_bundle

    mine = settings(ctx)
    check_version_name(mine.workspace, mine.spec.snapshot, target)
    old = open_bundle(snapshot_directory(mine, source), mine.spec.snapshot)
    seen = _Seen()
    watcher = Watcher(seen.keep_output, seen.steps.append) if as_json else Watcher(_show_output, show)
    change = Change(read_text(script, MAX_SCRIPT_BYTES), time_limit)
    with fleet(mine, lane_named(old.manifest().origin.lane), host_network=host_network) as vms:
        made = make_new_version(vms, old, target, change, egress=host_network, progress=mine.progress, watcher=watcher)
    verdict = _verdict(made)
    if as_json:
        published = str(made.published.directory) if made.published else None
        say_answer(NewVersionAnswer(verdict, published, made.exit_code, seen.output, seen.steps))
    else:
        _show_end(made, script, target)
    if verdict != "published":
        raise typer.Exit(2 if verdict == "not judged" else 1)


def _verdict(made: NewVersion) -> NewVersionVerdict:
    from hornet.procedures.validate import outcome

    if made.published:
        return "published"
    if made.exit_code:
        return "script failed"
    return "not valid" if outcome(made.not_passed) == "FAIL" else "not judged"


def _show_end(made: NewVersion, script: Path, target: str) -> None:
    if made.published:
        say(f"published {made.published.directory}\n  next: hornetos rollback {target}, which puts it in production")
    elif made.exit_code:
        say(f"{script}: exit code {made.exit_code} in the VM: nothing is published")
    else:
        say("not published: " + ", ".join(f"{step.name}: {step.verdict}" for step in made.not_passed))


def _show_output(result: Result) -> None:
    """Print a script's output with a bar, so that no line looks like one of the suite."""
    say(textwrap.indent(_output_of(result), "  | ", lambda line: True))


def _output_of(result: Result) -> str:
    return printable((result.stdout + result.stderr).rstrip(), MAX_SHOWN_CHARACTERS)


@dataclass
class _Seen:
    """What a new version's script printed, and the steps of its validation."""

    output: str = ""
    steps: list[Step] = field(default_factory=list)

    def keep_output(self, result: Result) -> None:
        self.output = _output_of(result)
