"""`hornetos sbom PATH`: the software bill of materials of an image, a kernel or a snapshot."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import typer

from hornet.errors import HostError, SnapshotError
from hornet.snapshot.bill import REBUILD, bill_of, licence_counts, licences_of, packages_of
from hornet_cli.context import settings
from hornet_cli.printer import AsJson, say, say_json, show

COLUMNS = ("package", "version", "licences", "built from")


def sbom(
    ctx: typer.Context,
    path: Annotated[Path, typer.Argument(help="A rootfs.ext4 or a vmlinux that was built here, or a snapshot.")],
    output: Annotated[Path | None, typer.Option(help="Write it to this file, as CycloneDX JSON.")] = None,
    as_json: AsJson = False,
) -> None:
    """Show the packages in an image, a kernel or a snapshot: version, licences, source.

    Exit code 2 if it has no bill of materials, or if the one that it has describes other content.
    """
    found = bill_of(path, settings(ctx).spec.snapshot)
    try:
        rows = [_row(component) for component in packages_of(found)]
    except (AttributeError, LookupError, TypeError) as error:
        raise SnapshotError(f"{path}: its bill of materials is malformed: {error!r}", REBUILD) from error
    if output:
        try:
            output.write_text(json.dumps(found, indent=2) + "\n")
        except OSError as error:
            raise HostError(f"{output}: {error.strerror}", "name a file in a directory that exists") from error
    elif as_json:
        say_json(found)
    else:
        _show(rows, licence_counts(found))


class Row(NamedTuple):
    """A component, as text. licences: SPDX identifiers or names."""

    name: str
    version: str
    licences: list[str]
    source: str


def _row(component: dict[str, Any]) -> Row:
    ancestors = component.get("pedigree", {}).get("ancestors", [])
    return Row(
        component["name"],
        component.get("version", "–"),
        licences_of(component),
        ", ".join(f"{ancestor['name']} {ancestor['version']}" for ancestor in ancestors) or "–",
    )


def _show(rows: list[Row], licences: dict[str, int]) -> None:
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for heading in COLUMNS:
        table.add_column(heading, overflow="fold")
    for row in rows:
        table.add_row(row.name, row.version, ", ".join(row.licences) or "–", row.source)
    show(table)
    say("\nlicences: " + ", ".join(f"{name} ({count})" for name, count in licences.items()))
