"""The documentation: short lines, links that lead somewhere, every page in the index, every folder explained."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from hornet.installation import SOURCE

DOCS = SOURCE / "docs"
PAGES = sorted([*SOURCE.glob("*.md"), *DOCS.glob("*.md"), *SOURCE.glob("spec/*.md")])
MAX_COLUMNS = 100
LINK = re.compile(r"\]\(([^)\s]+)\)")
# A file of the project, as in `hornet/vm/fleet.py`.
NAMED_FILE = re.compile(r"`((?:builders|docs|hornet|hornet_cli|hornet_fixtures|reports|spec|tests)/[\w./-]+\.\w+)`")


def long_lines(text: str) -> list[str]:
    """Lines that are too long; a table's row can't be broken, nor a link."""
    lines = [line for line in text.splitlines() if not line.startswith("|") and "://" not in line]
    return [line for line in lines if len(line) > MAX_COLUMNS]


def anchors(text: str) -> set[str]:
    """What GitHub makes of each heading: lower case, without punctuation, blanks as hyphens."""
    titles = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def broken_links(page: Path, text: str) -> list[str]:
    """Relative links whose file or heading does not exist."""
    broken = []
    for link in LINK.findall(text):
        if "://" in link:
            continue
        name, _, anchor = link.partition("#")
        target = (page.parent / name) if name else page
        if not target.exists() or (anchor and anchor not in anchors(target.read_text(encoding="utf-8"))):
            broken.append(link)
    return broken


def missing_files(text: str) -> list[str]:
    """The files of the project that a text names in backticks and that do not exist."""
    return [name for name in NAMED_FILE.findall(text) if not (SOURCE / name).exists()]


def rooms_in(folder: Path) -> set[str]:
    """The names of what has Python code directly in a folder: folders, and modules that stand alone."""
    paths = [path for path in folder.iterdir() if not path.name.startswith((".", "_"))]
    return {path.name for path in paths if path.suffix == ".py" or (path.is_dir() and any(path.rglob("*.py")))}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(SOURCE)))
def test_lines_are_short(page: Path) -> None:
    assert long_lines(page.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(SOURCE)))
def test_links_lead_somewhere(page: Path) -> None:
    assert broken_links(page, page.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(SOURCE)))
def test_named_files_exist(page: Path) -> None:
    assert missing_files(page.read_text(encoding="utf-8")) == []


def test_the_index_lists_every_page() -> None:
    listed = set(LINK.findall((DOCS / "README.md").read_text(encoding="utf-8")))
    assert {page.name for page in DOCS.glob("*.md")} - {"README.md"} <= listed


@pytest.mark.parametrize("folder", ["", "hornet/", "tests/"])
def test_the_architecture_names_every_room(folder: str) -> None:
    text = (DOCS / "architecture.md").read_text(encoding="utf-8")
    names = rooms_in(SOURCE / folder)
    assert {name for name in names if re.search(rf"`({folder})?{re.escape(name)}[/`]", text)} == names


def test_a_long_line_is_found() -> None:
    assert long_lines(f"{'x' * 101}\n| {'x' * 101} |\nhttps://example.org/{'x' * 101}\n") == ["x" * 101]


def test_a_broken_link_is_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# A page's title\n", encoding="utf-8")
    text = "[a](page.md) [b](page.md#a-pages-title) [c](page.md#no-heading) [d](missing.md) [e](https://example.org)"
    assert broken_links(page, text) == ["page.md#no-heading", "missing.md"]


def test_a_missing_file_is_found() -> None:
    assert missing_files("`hornet/errors.py` and `hornet/no_such_room/x.py`") == ["hornet/no_such_room/x.py"]
