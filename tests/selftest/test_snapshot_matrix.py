"""The matrix in docs/snapshots.md, mutation by detector, is what is found: here the columns that need no guest."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from hornet.snapshot import Bundle
from tests.support import bundle_samples, mutations
from tests.support.bundle_samples import NAMES
from tests.support.mutations import MUTATIONS, Subject


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
    found = {
        "cheap seal": mutations.cheap_seal(subject),
        "full seal": mutations.full_seal(subject),
        "ext4 verdict": mutations.ext4_verdict(subject, tmp_path),
    }
    documented = mutations.documented()[name]
    assert all(outcome in documented[detector] for detector, outcome in found.items()), f"{found}, docs: {documented}"


def test_every_mutation_is_in_the_docs() -> None:
    assert list(mutations.documented()) == list(MUTATIONS)


def test_no_cell_is_silent_in_both_seals_without_a_note() -> None:
    """A change that a seal misses has a note in the docs with the reason."""
    rows = [line for line in mutations.DOCS.read_text().splitlines() if line.startswith("|")]
    lines = {row.split("|")[1].strip(): row for row in rows if "silent" in row}
    silent = [name for name, row in mutations.documented().items() if "silent" in row["cheap seal"]]
    assert all("¹" in lines[name] or "²" in lines[name] for name in silent), silent
