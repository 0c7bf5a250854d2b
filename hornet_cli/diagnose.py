"""`hornetos diagnose VM`: find out what is wrong with a running VM, why, and how to repair it."""

from __future__ import annotations

import dataclasses
from typing import Annotated

import typer

from hornet_cli.context import settings
from hornet_cli.printer import AsJson, say, say_json


def diagnose(
    ctx: typer.Context,
    vm: Annotated[str, typer.Argument(help="A VM of this HORNET_HOME, as in vm1: a directory in run/vms.")],
    as_json: AsJson = False,
) -> None:
    """Walk the guide's decision tree for a VM (exit 0: nothing wrong, 1: causes found, 2: not judged).

    From outside to inside: VMM, namespace, bridge, tap, uplink, NAT, egress, console, guest, sshd, login, disk space,
    ext4. It changes nothing: each fix is for you to run. A step is skipped if it depends on one that failed.
    """
    from hornet.host.facts import require_root
    from hornet.procedures.diagnose import State, find_vm, observe, walk

    require_root()
    mine = settings(ctx)
    known = find_vm(mine.workspace, mine.spec, vm)
    steps = walk(known.place, observe(known))
    bad = [step for step in steps if step.state is State.BAD]
    unseen = [step.name for step in steps if step.state is State.UNSEEN]
    if as_json:
        say_json({"vm": vm, "steps": [dataclasses.asdict(step) for step in steps]})
    else:
        signs = {State.GOOD: "✓", State.BAD: "✗", State.UNSEEN: "?"}
        for step in steps:
            say(f"{signs[step.state]} {step.name + ':':<11} {step.seen}")
            if step.state is State.BAD:
                say(f"    cause: {step.cause}\n    fix:   {step.fix}")
                if step.command:
                    say(f"           {step.command}")
        found = f"begin with {bad[0].name}" if bad else "nothing is wrong"
        say(f"\n{vm}: {found}" + (f"; skipped: {', '.join(unseen)}" if unseen else ""))
    if bad or unseen:
        raise typer.Exit(1 if bad else 2)
