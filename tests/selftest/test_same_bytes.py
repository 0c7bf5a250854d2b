"""A file of an artifact that is not the same in two builds is found, and the difference is shown."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.support.same_bytes import CHUNK_BYTES, MAX_REPORT_CHARACTERS, TOOL, differences

CONTENT = bytes(CHUNK_BYTES) + b"content\n"


@pytest.fixture
def artifacts(tmp_path: Path) -> tuple[Path, Path]:
    """Two equal directories, for one test to change the second."""
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_bytes(CONTENT)
    return tmp_path / "one", tmp_path / "other"


def test_equal_artifacts_have_no_difference(artifacts: tuple[Path, Path]) -> None:
    assert differences(*artifacts, ["file"]) == []


@pytest.mark.parametrize(
    ("content", "offset"),
    [
        (CONTENT[:-2] + b"x\n", len(CONTENT) - 2),
        (CONTENT[:-1], len(CONTENT) - 1),
        (b"", 0),
        (CONTENT + b"x", len(CONTENT)),
    ],
    ids=["changed", "shorter", "empty", "longer"],
)
def test_a_difference_is_named_and_shown(content: bytes, offset: int, artifacts: tuple[Path, Path]) -> None:
    (artifacts[1] / "file").write_bytes(content)
    (found,) = differences(*artifacts, ["file"])
    assert found.startswith(f"file: not the same from byte {offset} on\n")
    assert ("--- " if shutil.which(TOOL) else f"install {TOOL}-minimal") in found


def test_a_missing_file_is_named(artifacts: tuple[Path, Path]) -> None:
    (artifacts[1] / "file").unlink()
    (found,) = differences(*artifacts, ["file"])
    assert found == f"file: missing: {artifacts[1] / 'file'}"


def test_a_long_report_is_cut(artifacts: tuple[Path, Path]) -> None:
    for directory, word in zip(artifacts, ("yes", "no"), strict=True):
        (directory / "file").write_text(f"{word}\n" * MAX_REPORT_CHARACTERS)
    (found,) = differences(*artifacts, ["file"])
    assert len(found) < 2 * MAX_REPORT_CHARACTERS
