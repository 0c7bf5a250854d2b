"""`hornetos firecracker`: install releases of Firecracker side by side (docs/firecracker.md)."""

from __future__ import annotations

from typing import Annotated

import typer

from hornet_cli.context import settings
from hornet_cli.printer import say

firecracker = typer.Typer(help="Install releases of Firecracker side by side, for --firecracker.", no_args_is_help=True)


@firecracker.command()
def install(
    ctx: typer.Context,
    version: Annotated[str | None, typer.Argument(help="As in 1.16.1 (default: firecracker.release.version).")] = None,
    source: Annotated[
        str | None, typer.Option("--from", metavar="URL-OR-FILE", help="The archive, instead of the release page's.")
    ] = None,
    sha256: Annotated[
        str | None, typer.Option(help="The archive's SHA-256 (default: in the file beside it, *.sha256.txt).")
    ] = None,
) -> None:
    """Install a release into HORNET_HOME/firecracker/VERSION and print the program's path.

    Exit code 2 if the archive can't be had, has another hash, or holds another version.
    """
    from builders.firecracker import install_firecracker

    mine = settings(ctx)
    release = mine.spec.firecracker.release
    wanted = version or release.version
    if not release.is_version(wanted):
        raise typer.BadParameter(f"{wanted!r}: expected a version, as in {release.version}")
    program = install_firecracker(release, mine.workspace, mine.progress, version=wanted, source=source, sha256=sha256)
    say(str(program))


@firecracker.command("list")
def list_installed(ctx: typer.Context) -> None:
    """Print the path of each release that was installed."""
    from builders.firecracker import installed_firecrackers

    say("\n".join(map(str, installed_firecrackers(settings(ctx).workspace))) or "none is installed")
