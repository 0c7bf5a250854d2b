"""`hornetos ext4 FILE`: judge whether a file system is sound, without changing the file."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import Annotated

import typer

from hornet.errors import HornetError
from hornet.formats.ext4.verdict import SHOWN_MESSAGES, TIME_LIMIT_S, Ext4Verdict, judge_ext4
from hornet_cli.context import settings
from hornet_cli.printer import AsJson, say, say_json


def ext4(
    ctx: typer.Context,
    file: Annotated[Path, typer.Argument(help="An ext4 image: a rootfs.ext4, or the disk of an ended or paused VM.")],
    as_json: AsJson = False,
    time_limit: Annotated[
        float, typer.Option(min=1.0, help="Timeout of e2fsck in seconds; after it the file is not judged.")
    ] = TIME_LIMIT_S,
) -> None:
    """Judge an ext4 image on a temporary copy (exit 0: sound, 1: damaged, 2: not judged).

    A journal that waits to be replayed is ordinary for the disk of a VM that was snapshotted while it ran: it is
    replayed on the copy, then everything is checked, by the newest e2fsck of this host and of HORNET_HOME.
    """
    try:
        verdict = judge_ext4(file, settings(ctx).workspace.run, time_limit)
    except HornetError as error:
        if as_json:
            say_json({"file": str(file), "verdict": "not judged", "reason": error.message, "next": error.hint})
            raise typer.Exit(2) from error
        raise
    if as_json:
        say_json(verdict.as_data())
    else:
        say(as_text(verdict))
    if not verdict.sound:
        raise typer.Exit(1)


def as_text(verdict: Ext4Verdict) -> str:
    """The verdict as text: findings, their meaning, remedies."""
    journal = "; its journal was replayed on the copy, as a mount would do" if verdict.journal_replayed else ""
    state = "sound" if verdict.sound else "DAMAGED"
    lines = [f"{verdict.image}: {state}{journal} ({verdict.e2fsck}, {verdict.took_s:.1f} s)"]
    lines += [f"  remark, not damage: {remark}" for remark in verdict.remarks]
    for finding in verdict.findings:
        lines.append(f"  {finding.rule.kind}: {finding.rule.meaning}")
        lines += [f"    | {textwrap.shorten(message, 160)}" for message in finding.messages[:SHOWN_MESSAGES]]
        if len(finding.messages) > SHOWN_MESSAGES:
            lines.append(f"    | … {len(finding.messages)} such messages")
    remedies = dict.fromkeys(finding.rule.remedy for finding in verdict.findings)
    if verdict.superblock and verdict.findings:
        block = verdict.superblock
        lines.append(f"  last mounted {block.show('mount_time')}, last written {block.show('write_time')}")
    return "\n".join([*lines, *(f"  next: {remedy}" for remedy in remedies)])
