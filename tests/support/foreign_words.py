"""Texts that a guest, an image or another host might send, and what an output may do with them."""

from __future__ import annotations

HOSTILE = {
    "terminal escapes": "\x1b]0;owned\x07\x1b[2J\x1b[31mred\x9b1m",
    "control characters": "a\x00b\x08c\x7fd\x0be\x0cf\x85g",
    "bidirectional overrides": "\u202egnp.exe\u202c \u2066x\u2069 \u200e\u200f\u061c",
    "what nobody sees": "\ufeffa\u00adb\u200bc\U000e0041d\ufff9e",
    "separators": "a\u2028b\u2029c\u00a0d",
    "rich markup": "[bold red]x[/bold red] [link=http://evil.example]y[/link] [/] \\[",
    "Markdown": "![x](http://evil.example/a.png) [y](http://evil.example) **b** _i_ `c` ~~s~~ <b>h</b> &#x202e; a|b|c",
    "links": "http://evil.example www.evil.example ftp://evil.example",
    "HTML": "</td></pre><script>alert(1)</script><img src=x onerror=alert(1)>\"'&lt;",
    "formulas": "$\\frac{1}{$ $x^2$ \\mathbf",
    "templates": "%s %n {0} {{ 7*7 }} {% raw %} ${HOME} \\x1b",
    "lines": "x\n# heading\n- item\r\nPASS    [1/9] seal\n| a | b |",
}


def assert_obeyed_by_nobody(shown: bytes | str) -> None:
    """Only what a reader sees: printable characters, tabs and newlines."""
    text = shown.decode("utf-8") if isinstance(shown, bytes) else shown
    wrong = sorted({character for character in text if not (character.isprintable() or character in "\n\t")})
    assert not wrong, f"{wrong} in {text[:2000]!r}"
