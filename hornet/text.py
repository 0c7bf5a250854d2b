"""Text from elsewhere, made safe to show: no terminal, log or page may obey it, and a reader must see all of it."""

from __future__ import annotations

import re

# Whatever is neither printable ASCII nor a tab or a newline is looked at.
_SUSPECT = re.compile(r"[^\t\n -~]")


def printable(text: str, limit: int | None = None) -> str:
    """The text with visible escapes (`\\x1b`, `\\u202e`) for all that is not printable; tabs and newlines stay.

    These are control and format characters (terminal escapes, bidirectional overrides, zero width), line and
    paragraph separators, spaces other than U+0020, lone surrogates, and code points that mean nothing (the Unicode
    categories Cc, Cf, Cs, Co, Cn, Zl, Zp, Zs). limit: characters that are kept; a notice says how many were cut.
    Applied to its own result it changes nothing, unless that is longer than `limit`.
    """
    if limit is not None and len(text) > limit:
        text = f"{text[:limit]} … ({len(text) - limit} more characters)"
    return _SUSPECT.sub(_escape, text)


def one_line(text: str, limit: int | None = None) -> str:
    """The same for a name or a value that is to stay on its line: tabs and newlines are escaped too."""
    return printable(text, limit).replace("\n", "\\n").replace("\t", "\\t")


def _escape(found: re.Match[str]) -> str:
    character = found[0]
    return character if character.isprintable() else character.encode("unicode_escape").decode("ascii")
