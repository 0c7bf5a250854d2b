"""`hornetos clean`: remove old artifacts, snapshots, reports and logs of HORNET_HOME."""

from __future__ import annotations

import dataclasses
from typing import Annotated

import typer

from hornet_cli.context import settings
from hornet_cli.printer import AsJson, say, say_json

MB = 1_000_000


def clean(
    ctx: typer.Context,
    keep: Annotated[int, typer.Option(min=1, help="Keep the newest N of each kind that nothing refers to.")] = 3,
    older_than: Annotated[
        float, typer.Option(min=0, metavar="DAYS", help="Remove only what was not used for this time.")
    ] = 0,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would be removed.")] = False,
    as_json: AsJson = False,
) -> None:
    """Remove old artifacts, failed builds, snapshots, reports, logs and downloads, trim ccache, and show the sizes.

    It never removes what a process uses or builds, what production, images/ or reports/latest link to, the snapshot
    of a running VM or the parent of another, an adopted snapshot, or anything that the suite did not make. Whatever is
    missing later is built again.
    """
    from hornet.procedures.clean import choose, find_items, remove, trim_compiler_cache

    mine = settings(ctx)
    items = find_items(mine.workspace, mine.spec.snapshot)
    chosen = choose(items, keep, older_than)
    done = [(item, dry_run or remove(item)) for item in chosen]
    removed = [item for item, gone in done if gone]
    trimmed_bytes = 0 if dry_run else trim_compiler_cache(mine.workspace, older_than)
    freed_mb = (sum(item.size_bytes for item in removed) + trimmed_bytes) / MB
    if as_json:
        rows = [
            {**dataclasses.asdict(item), "path": str(item.path), "removed": gone and not dry_run} for item, gone in done
        ]
        trimmed_mb = round(trimmed_bytes / MB, 1)
        say_json({"dry_run": dry_run, "freed_mb": round(freed_mb, 1), "ccache_trimmed_mb": trimmed_mb, "items": rows})
        return
    for item, gone in done:
        where = item.path.relative_to(mine.workspace.root)
        say(f"{item.size_bytes / MB:10.1f} MB  {item.kind:20}  {where}" + ("" if gone else "  in use: stays"))
    for item in items:
        if item.kept_because:
            where = item.path.relative_to(mine.workspace.root)
            say(f"{item.size_bytes / MB:10.1f} MB  {item.kind:20}  {where} stays: {item.kept_because}")
    if trimmed_bytes > 0:
        say(f"{trimmed_bytes / MB:10.1f} MB  {'cache ccache':20}  trimmed")
    done_so = "would be removed" if dry_run else "removed"
    say(f"{len(removed)} of {len(items)} {done_so}, {freed_mb:.1f} MB")
