"""Makes text from elsewhere safe to show: a terminal, log or page must not interpret it, and nothing is hidden."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable

# Anything but printable ASCII, tabs and newlines.
_SUSPECT = re.compile(r"[^\t\n -~]")


def printable(text: str, limit: int | None = None) -> str:
    """The text with visible escapes (`\\x1b`, `\\u202e`) for everything unprintable; tabs and newlines stay.

    Escaped are control and format characters (terminal escapes, bidirectional overrides, zero width), line and
    paragraph separators, spaces other than U+0020, lone surrogates, and unassigned code points (the Unicode categories
    Cc, Cf, Cs, Co, Cn, Zl, Zp, Zs). limit: maximum number of characters; a notice says how many were cut. Applying it
    twice has no further effect, unless the result is longer than `limit`.
    """
    if limit is not None and len(text) > limit:
        text = f"{text[:limit]} … ({len(text) - limit} more characters)"
    return _SUSPECT.sub(_escape, text)


def one_line(text: str, limit: int | None = None) -> str:
    """Like printable(), for a name or value that must stay on one line: tabs and newlines are escaped too."""
    return printable(text, limit).replace("\n", "\\n").replace("\t", "\\t")


def similar_names(name: str, known: Iterable[str]) -> str:
    """Ends a sentence about an unknown name: `; did you mean a or b?`, or nothing if no known name is like it."""
    close = difflib.get_close_matches(name, list(known))
    return f"; did you mean {' or '.join(close)}?" if close else ""


def _escape(found: re.Match[str]) -> str:
    character = found[0]
    return character if character.isprintable() else character.encode("unicode_escape").decode("ascii")
