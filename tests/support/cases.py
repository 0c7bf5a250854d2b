"""The case book: tests/cases/KIND has one small file for each input that was once judged wrongly.

docs/contributing.md says what a file holds. Each kind has its own test module, tests/selftest/test_cases_KIND.py.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

BOOK = Path(__file__).parents[1] / "cases"


def each_case(kind: str) -> pytest.MarkDecorator:
    """Run a test with each `file` of a kind."""
    return pytest.mark.parametrize("file", sorted((BOOK / kind).glob("*.toml")), ids=lambda file: file.stem)


@contextmanager
def opened(file: Path) -> Iterator[dict[str, Any]]:
    """A case without `met`. A test takes each key out: what it leaves is a misspelling."""
    case = tomllib.loads(file.read_text())
    assert case.pop("met"), "the kind of place where such a thing was met"
    yield case
    assert not case, "unknown keys"
