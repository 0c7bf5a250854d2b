"""The one printer of the commands: lines, tables and JSON (see terminal.py for what may reach a terminal)."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rich.console import RenderableType

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]


def say(text: str = "") -> None:
    """Print a line and flush it, so that it appears at once in a file or a pipe too."""
    print(text, flush=True)


def say_json(data: Any) -> None:
    """Print data for other programs."""
    say(json.dumps(data, indent=2))


def say_answer(answer: Any) -> None:
    """Print a data class of a command's answer, whose schema `hornetos schema` prints."""
    from pydantic import TypeAdapter

    say_json(TypeAdapter(type(answer)).dump_python(answer, mode="json"))


def show(table: RenderableType) -> None:
    """Print a table."""
    from hornet_cli.console import PlainConsole

    PlainConsole().print(table)
