"""A directory of the host as an image's files, so that a check can be tried without making an image each time."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path

from hornet.formats.image_tree import Entry, ImageTree
from hornet.host.file_copy import data_ranges


class DirectoryTree(ImageTree):
    """The files below `root`."""

    def __init__(self, root: Path) -> None:
        self._root = root

    @cached_property
    def entries(self) -> Mapping[str, Entry]:
        return {f"/{path.relative_to(self._root)}": _entry(path) for path in self._root.rglob("*")}

    @property
    def root(self) -> Entry:
        return _entry(self._root)

    def read(self, path: str, offset_bytes: int, length_bytes: int) -> bytes:
        with (self._root / path.lstrip("/")).open("rb") as stream:
            stream.seek(offset_bytes)
            return stream.read(length_bytes)

    def data_ranges(self, path: str) -> Iterator[tuple[int, int]]:
        with (self._root / path.lstrip("/")).open("rb") as stream:
            yield from list(data_ranges(stream.fileno()))


def _entry(path: Path) -> Entry:
    found = path.lstat()
    target = os.readlink(path) if path.is_symlink() else None
    return Entry(found.st_mode, found.st_uid, found.st_gid, found.st_size, found.st_ino, target)
