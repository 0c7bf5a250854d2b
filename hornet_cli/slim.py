"""`hornetos slim`: the guide's phase 1, from inside a running VM."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hornet_cli.context import settings
from hornet_cli.fleet import LaneName, choose_lane, fleet
from hornet_cli.printer import AsJson, say, say_json

if TYPE_CHECKING:
    from hornet.procedures.slim import SlimReport


def slim(
    ctx: typer.Context,
    snapshot: Annotated[
        Path | None,
        typer.Argument(help="The snapshot to slim (default: one of the baseline image, built if needed)."),
    ] = None,
    name: Annotated[str, typer.Option("--as", help="The new snapshot's version.")] = "hornetos-phase1",
    lane: LaneName = None,
    as_json: AsJson = False,
) -> None:
    """Slim a VM from the inside and take a new snapshot; the old one does not change.

    Exit code 0: slimmed, and every tool works; 1: a tool is broken, so there is no new snapshot; 2: not done.
    """
    from builders.kernel import build_kernel
    from builders.rootfs.baseline import NAME, build_baseline
    from builders.snapshots import build_snapshot
    from hornet.errors import SnapshotError
    from hornet.procedures.slim import slim_snapshot
    from hornet.snapshot import open_bundle

    mine = settings(ctx)
    if (mine.workspace.snapshots / name).exists():
        existing = mine.workspace.snapshots / name
        raise SnapshotError(f"{existing}: already exists", "give the new one another name: --as NAME")
    spec = mine.spec
    if snapshot is None:
        machine = spec.machine.model_copy(update={"memory_mib": spec.rootfs.baseline.memory_mib})
        spec = spec.model_copy(update={"machine": machine})
    kernel = build_kernel(mine.spec, mine.workspace, mine.progress).vmlinux
    with fleet(mine, choose_lane(mine, kernel, lane), spec=spec) as vms:
        if snapshot:
            base = open_bundle(snapshot, spec.snapshot)
        else:
            image = build_baseline(mine.spec, mine.workspace, mine.progress).image
            base = build_snapshot(vms, mine.progress, kernel=kernel, image=image, tier=NAME)
        report = slim_snapshot(vms, base, mine.progress, version=name)
    if as_json:
        shown = {**dataclasses.asdict(report), "snapshot": str(report.snapshot.directory) if report.snapshot else None}
        say_json(shown)
    else:
        _show(report)
    raise typer.Exit(1 if report.tool_problems else 0)


def _show(report: SlimReport) -> None:
    share = report.saved_mb / report.before.used_mb
    say(f"{'':<28} {'before':>9} {'after':>9}")
    say(f"{'used, MB':<28} {report.before.used_mb:9.1f} {report.after.used_mb:9.1f}")
    say(f"{'available, MB':<28} {report.before.available_mb:9.1f} {report.after.available_mb:9.1f}")
    say(f"saved {report.saved_mb:.1f} MB ({share:.0%}):")
    for saving in report.savings:
        say(f"  {saving.saved_mb:7.1f} MB  {saving.title}")
    for title in report.broken:
        say(f"broken by the removals: {title}")
    for title in report.never_worked:
        say(f"already broken before: {title}")
    for problem in report.tool_problems:
        say(f"a tool is broken: {problem}")
    say(f"snapshot: {report.snapshot.directory}" if report.snapshot else "no snapshot was taken")
