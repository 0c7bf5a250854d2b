"""`hornetos adopt DIR`: seal a snapshot that was made elsewhere: the guide's own three files, without a manifest."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from hornet.vmm.registry import LANES_HELP, lane_named
from hornet_cli.context import settings
from hornet_cli.ext4 import as_text
from hornet_cli.printer import AsJson, say, say_answer

if TYPE_CHECKING:
    from hornet.snapshot import Bundle, Origin


def adopt(
    ctx: typer.Context,
    directory: Annotated[Path, typer.Argument(help="The directory with the three files.")],
    lane: Annotated[str, typer.Option(help=f"The lane in which the snapshot was taken: {LANES_HELP}.")],
    tier: Annotated[str, typer.Option(help="The tier to judge it by: micro, standard or dev.")],
    vmm_version: Annotated[
        str | None, typer.Option(help="The version of the VMM that took it (default: this host's).")
    ] = None,
    vcpus: Annotated[int, typer.Option(min=1, help="The number of virtual CPUs of its VM.")] = 1,
    kernel: Annotated[
        Path | None, typer.Option(exists=True, dir_okay=False, help="The booted vmlinux, to bind it too.")
    ] = None,
    frozen: Annotated[
        bool,
        typer.Option("--frozen", help="Its guest is frozen: the suite took the snapshot, and its manifest was lost."),
    ] = False,
    ssh_key: Annotated[Path | None, typer.Option(help="The public key that its guest accepts.")] = None,
    as_json: AsJson = False,
) -> None:
    """Judge the file system, then bind the files in their current state to each other, this CPU and this VMM.

    Run it on the machine that took the snapshot, before anything else touches the files: earlier changes cannot be
    detected. Its guest is reached with the key in HORNET_HOME/keys. Exit code 1 if the file system is damaged.
    """
    from hornet.procedures.adopt import Provenance, judge_before_adopting
    from hornet.procedures.adopt import adopt as seal
    from hornet.procedures.answers import AdoptAnswer
    from hornet.snapshot import open_bundle

    mine = settings(ctx)
    mine.spec.tier(tier)
    bundle = open_bundle(directory, mine.spec.snapshot)
    verdict = judge_before_adopting(bundle, mine.workspace)
    origin = None
    if not as_json:
        say(as_text(verdict))
    if verdict.sound:
        provenance = Provenance(lane_named(lane), tier, vcpus, vmm_version, kernel, frozen, ssh_key)
        origin = seal(bundle, provenance, mine.spec, mine.progress)
    if as_json:
        state: Literal["sealed", "damaged"] = "sealed" if origin else "damaged"
        damage = [finding.rule.meaning for finding in verdict.findings]
        say_answer(AdoptAnswer(str(directory), state, damage, verdict.remarks, origin, bundle.open_to_others))
    elif origin:
        _show(origin, bundle)
    if not origin:
        raise typer.Exit(1)


def _show(origin: Origin, bundle: Bundle) -> None:
    for name, value in origin.model_dump().items():
        say(f"  {name}: {'not known' if value is None else value}")
    if bundle.open_to_others:
        say(f"other users may read the guest's memory: chmod -R go= {bundle.directory}")
    say("sealed in its current state; earlier changes cannot be detected")
    say(f"  next: hornetos validate {bundle.directory}")
