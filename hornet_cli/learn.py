"""`hornetos learn IMAGE`: write an overlay from an image that is known to be good."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hornet.formats.archives.source import ImageSource
from hornet_cli.context import settings
from hornet_cli.given import DEFAULT_TIER, image_source
from hornet_cli.printer import AsJson, say, say_json


def learn(
    ctx: typer.Context,
    image: Annotated[
        ImageSource,
        typer.Argument(parser=image_source, metavar="IMAGE", help="An ext4 file, oci:DIR, tar:FILE or dir:DIR."),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="The overlay to write: a new file.")],
    tier: Annotated[str, typer.Option(help="The tier whose rules the overlay changes.")] = DEFAULT_TIER,
    as_json: AsJson = False,
) -> None:
    """Write an overlay from an image that is known to be good (exit 0: it passes with it, 1: it does not).

    Its size limit, packages or commands, setuid programs and release become rules. Removed things that it has and tools
    that it lacks are accepted. Secrets, dangling dependencies and access for other users are never learned.
    """
    from hornet.procedures.learn import learn as write_overlay

    mine = settings(ctx)
    problems = write_overlay(image, mine.spec_with, tier, output, mine.workspace.run)
    if as_json:
        say_json({"image": str(image), "overlay": str(output), "tier": tier, "problems": problems})
    else:
        say(f"{output}: written; with it, the files of {image} {'fail:' if problems else 'pass as ' + tier}")
        for problem in problems:
            say(f"  {problem}")
    if problems:
        raise typer.Exit(1)
