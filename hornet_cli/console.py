"""Tables on the terminal: what is in a cell is text, and never markup."""

from __future__ import annotations

import sys
from typing import IO, Any, cast

from rich.console import Console
from rich.text import Text

from hornet.text import printable
from hornet_cli.terminal import PrintableStream


class PlainConsole(Console):
    """A console for tables: a string is text, whatever is in it; styles come only with rich's own Text."""

    def __init__(self) -> None:
        stream = sys.stdout
        super().__init__(
            file=cast(IO[str], stream.coloured) if isinstance(stream, PrintableStream) else stream,
            markup=False,
            emoji=False,
            highlight=False,
        )

    def render_str(self, text: str, **options: Any) -> Text:
        return super().render_str(printable(text), **{**options, "markup": False, "emoji": False, "highlight": False})
