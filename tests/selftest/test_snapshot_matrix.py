"""Each detector finds what the matrix says, mutation by mutation: here the columns that need no guest."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from hornet.errors import SpecError
from hornet.foreign_file import read_toml
from hornet.results.detection_matrix import (
    BEGIN,
    END,
    MATRIX_FILE,
    MAX_BYTES,
    Matrix,
    load_matrix,
    page_with_matrix,
)
from hornet.snapshot import Bundle
from tests.support import bundle_samples, mutations
from tests.support.bundle_samples import NAMES
from tests.support.mutations import EXPECTED, MATRIX, MUTATIONS, Subject


@pytest.fixture(scope="module")
def versions(tmp_path_factory: pytest.TempPathFactory) -> tuple[Bundle, Bundle]:
    """A snapshot and another version of it, which no test changes."""
    directory = tmp_path_factory.mktemp("versions")
    return bundle_samples.make_bundle(directory / "v1.0"), bundle_samples.make_bundle(directory / "v2.0", seed=3)


@pytest.mark.parametrize("name", MUTATIONS)
def test_detectors_find_what_the_matrix_expects(name: str, versions: tuple[Bundle, Bundle], tmp_path: Path) -> None:
    original, other = versions
    copy = Bundle(Path(shutil.copytree(original.directory, tmp_path / "v1.0")), NAMES)
    copy.check_seal()
    subject = Subject(copy, other, "/big")
    MUTATIONS[name](subject)
    row = EXPECTED[name]
    assert mutations.cheap_seal(subject) == row.cheap_seal
    assert mutations.full_seal(subject) == row.full_seal
    assert mutations.ext4_verdict(subject, tmp_path) == row.ext4_verdict
    same = [path.read_bytes() for path in copy.files] == [path.read_bytes() for path in original.files]
    assert same == (row.disk_after == "same bytes"), "whether a guest must be tried depends on it"


def test_every_mutation_has_its_row() -> None:
    assert list(EXPECTED) == list(MUTATIONS)


ANY = {"guest_symptoms": ["silent", "errors", "no restore"]}
REJECTED: dict[str, tuple[dict[str, Any], str]] = {
    "a cell that accepts every outcome": (ANY, "accepts every outcome"),
    "a cell without an outcome": ({"guest_symptoms": []}, "at least 1 item"),
    "an unknown outcome": ({"disk_after": "chance"}, "'sound', 'damaged', 'no restore' or 'same bytes'"),
    "a silent seal without a note": ({"cheap_seal": "silent"}, "cheap_seal is silent"),
    "half a guest": ({"disk_after": "same bytes"}, "in both or in none"),
    "a note of no detector": ({"notes": {"cheap": 1}}, "notes for cheap"),
    "a note that does not exist": ({"notes": {"cheap_seal": 2}}, r"expected each of 1 to 1"),
}


def matrix(**changed: Any) -> Matrix:
    cells = {"cheap_seal": "refused", "full_seal": "refused", "ext4_verdict": "sound", "guest_symptoms": ["errors"]}
    row = {"mutation": "m", **cells, "disk_after": "damaged", "notes": {"full_seal": 1}, **changed}
    return Matrix.model_validate({"rows": [row], "notes": ["A note."]})


@pytest.mark.parametrize("change", REJECTED)
def test_row_that_can_not_fail_is_rejected(change: str) -> None:
    changed, message = REJECTED[change]
    with pytest.raises(ValueError, match=message):
        matrix(**changed)


def test_wrong_matrix_file_is_named(tmp_path: Path) -> None:
    text = MATRIX_FILE.read_text(encoding="utf-8").replace('"refused"', '"chance"', 1)
    (tmp_path / "matrix.toml").write_text(text, encoding="utf-8")
    with pytest.raises(SpecError, match=r"matrix\.toml: rows\.0\.cheap_seal: .* found 'chance'"):
        load_matrix(tmp_path / "matrix.toml")


def test_page_shows_every_cell_and_note() -> None:
    made = page_with_matrix(f"before\n{BEGIN}\nstale\n{END}\nafter\n", matrix())
    assert "stale" not in made
    assert made.startswith(f"before\n{BEGIN}\n")
    assert made.endswith(f"{END}\nafter\n")
    assert "| m | refused | refused¹ | sound | errors | damaged |" in made.splitlines()
    assert "¹ A note." in made.splitlines()
    assert page_with_matrix(made, matrix()) == made


def test_page_without_a_place_for_the_table_is_an_error() -> None:
    with pytest.raises(SpecError, match="no part between"):
        page_with_matrix(f"{END}\n{BEGIN}\n", MATRIX)


def test_matrix_file_is_read_whole() -> None:
    assert len(read_toml(MATRIX_FILE, MAX_BYTES)["rows"]) == len(MATRIX.rows)
