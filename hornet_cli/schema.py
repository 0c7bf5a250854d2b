"""`hornetos schema NAME`: the JSON Schema of a file that other programs may read."""

from __future__ import annotations

from typing import Annotated

import typer

from hornet.errors import HostError
from hornet.text import similar_names
from hornet_cli.printer import say, say_json


def schema(name: Annotated[str | None, typer.Argument(help="A schema; without one, all are listed.")] = None) -> None:
    """Print the JSON Schema of run.json, outcomes.jsonl, records.jsonl, report.json, or of what commands print."""
    from reports.schemas import FILES, schema_of

    if name is None:
        for known, (title, _) in FILES.items():
            say(f"{known}: {title}")
    elif name in FILES:
        say_json(schema_of(name))
    else:
        raise HostError(f"{name}: no such schema{similar_names(name, FILES)}", f"use one of: {', '.join(FILES)}")
