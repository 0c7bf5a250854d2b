"""Text in Markdown as the text that it is: no table, link, image, formula or tag is made of it."""

from __future__ import annotations

import re
from typing import Any

from hornet.text import printable

# What opens something wherever it stands.
_ALWAYS = re.compile(r"[\\`*\[\]<>|~$#!]")
# Between letters an underscore means nothing, and names are full of them.
_UNDERSCORE = re.compile(r"(?<![0-9A-Za-z])_|_(?![0-9A-Za-z])")
# GitHub makes links of these by themselves.
_SCHEME = re.compile(r"\b(https?|ftp):(?=//)", re.IGNORECASE)
_WWW = re.compile(r"\b(www)\.", re.IGNORECASE)
# At the beginning of a line these make lists, rules and headings.
_FIRST = re.compile(r"^(\d*)([-+=]|(?<=\d)[.)])")


def as_text(value: Any) -> Any:
    """A value of a template as one line of Markdown; whatever is no text stays as it is."""
    if not isinstance(value, str):
        return value
    text = " ".join(printable(value).split()).replace("&", "&amp;")
    text = _ALWAYS.sub(_escape, text)
    text = _UNDERSCORE.sub(r"\\_", text)
    text = _WWW.sub(r"\1\\.", _SCHEME.sub(r"\1\\:", text))
    return _FIRST.sub(r"\1\\\2", text)


def _escape(found: re.Match[str]) -> str:
    return {"<": "&lt;", ">": "&gt;"}.get(found[0], f"\\{found[0]}")
