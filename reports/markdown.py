"""Escapes text for Markdown, so that it cannot become a table, link, image, formula or tag."""

from __future__ import annotations

import re
from typing import Any

from hornet.text import printable

# These have a meaning anywhere in a line.
_ALWAYS = re.compile(r"[\\`*\[\]<>|~$#!]")
# An underscore between letters has no meaning, and names often contain one.
_UNDERSCORE = re.compile(r"(?<![0-9A-Za-z])_|_(?![0-9A-Za-z])")
# GitHub turns these into links.
_SCHEME = re.compile(r"\b(https?|ftp):(?=//)", re.IGNORECASE)
_WWW = re.compile(r"\b(www)\.", re.IGNORECASE)
# At the beginning of a line these start lists, rules and headings.
_FIRST = re.compile(r"^(\d*)([-+=]|(?<=\d)[.)])")


def as_text(value: Any) -> Any:
    """A value of a template as one line of Markdown; a value that is not text is returned unchanged."""
    if not isinstance(value, str):
        return value
    text = " ".join(printable(value).split()).replace("&", "&amp;")
    text = _ALWAYS.sub(_escape, text)
    text = _UNDERSCORE.sub(r"\\_", text)
    text = _WWW.sub(r"\1\\.", _SCHEME.sub(r"\1\\:", text))
    return _FIRST.sub(r"\1\\\2", text)


def _escape(found: re.Match[str]) -> str:
    return {"<": "&lt;", ">": "&gt;"}.get(found[0], f"\\{found[0]}")
