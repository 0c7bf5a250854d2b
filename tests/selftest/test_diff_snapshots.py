"""A diff snapshot's memory is merged into that of the snapshot before it."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hornet.errors import SnapshotError
from hornet.vmm.firecracker.diff import merge

PAGE, PAGES = 4096, 8


def memory_file(path: Path, pages: dict[int, int]) -> Path:
    """A sparse file with these pages filled."""
    with path.open("wb") as file:
        file.truncate(PAGES * PAGE)
        for number, byte in pages.items():
            file.seek(number * PAGE)
            file.write(bytes([byte]) * PAGE)
    return path


pages = st.dictionaries(st.integers(0, PAGES - 1), st.integers(0, 255))


@given(before=pages, changed=pages)
def test_changed_pages_replace_those_before(
    before: dict[int, int], changed: dict[int, int], tmp_path_factory: pytest.TempPathFactory
) -> None:
    directory = tmp_path_factory.mktemp("merge")
    memory = memory_file(directory / "memory", before)
    merge(memory_file(directory / "changes", changed), memory)
    expected = before | changed
    content = memory.read_bytes()
    assert [content[n * PAGE : n * PAGE + PAGE] for n in range(PAGES)] == [
        bytes([expected.get(n, 0)]) * PAGE for n in range(PAGES)
    ]


def test_files_of_different_sizes_are_rejected(tmp_path: Path) -> None:
    memory = memory_file(tmp_path / "memory", {1: 1})
    (tmp_path / "changes").write_bytes(b"x")
    with pytest.raises(SnapshotError, match="not of the same VM"):
        merge(tmp_path / "changes", memory)
    with pytest.raises(SnapshotError, match="can't be merged: No such file"):
        merge(tmp_path / "missing", memory)
