"""`hornetos validate DIR`: may this snapshot be used? The guide's SOP 2 and more, each line PASS or FAIL."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from hornet_cli.context import settings
from hornet_cli.fleet import HostNetwork, NoSeal, SnapshotName, fleet, snapshot_directory
from hornet_cli.printer import AsJson, say, say_answer

if TYPE_CHECKING:
    from hornet.procedures.answers import ValidateVerdict
    from hornet.procedures.validate import Step

Full = Annotated[bool, typer.Option("--full", help="Check every byte of the files, not only their attributes.")]
WORDS: dict[str, tuple[ValidateVerdict, int]] = {
    "PASS": ("passed", 0),
    "FAIL": ("failed", 1),
    "NOT JUDGED": ("not judged", 2),
}


def validate(
    ctx: typer.Context,
    snapshot: SnapshotName,
    full: Full = False,
    no_seal: NoSeal = False,
    host_network: HostNetwork = False,
    as_json: AsJson = False,
) -> None:
    """Judge a snapshot: files, seal, file system; then restored: SSH, tools, network, kernel, and the disk it leaves.

    Exit code 0 if every step passes, 1 if one fails, 2 if the snapshot could not be judged. Nothing is changed: the
    restored VM works on a private copy.
    """
    from hornet.procedures.answers import ValidateAnswer
    from hornet.procedures.validate import outcome, validate_steps

    mine = settings(ctx)
    steps = []
    for step in validate_steps(
        snapshot_directory(mine, snapshot),
        mine.spec,
        mine.workspace,
        lambda lane: fleet(mine, lane, host_network=host_network, check_seals=not no_seal),
        full=full,
        check_seal=not no_seal,
        egress=host_network,
        progress=mine.progress,
    ):
        steps.append(step)
        if not as_json:
            show(step)
    word, code = WORDS[outcome(steps)]
    if as_json:
        say_answer(ValidateAnswer(word, steps))
    else:
        say(f"validation: {word}")
    raise typer.Exit(code)


def show(step: Step) -> None:
    """One line per step, with its place among all; what is wrong below it."""
    from hornet.procedures.validate import STEPS

    below = step.verdict in ("FAIL", "NOT JUDGED")
    note = f": {'; '.join(step.lines)}" if step.lines and not below else ""
    say(f"{step.verdict:<7} [{STEPS.index(step.name) + 1}/{len(STEPS)}] {step.name}{note}")
    for line in step.lines if below else []:
        say("        " + line.replace("\n", "\n        "))
