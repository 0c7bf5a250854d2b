"""The files of an image, read without mounting, booting or unpacking it: the input of checks on images."""

from __future__ import annotations

import io
import re
import stat
from abc import ABC, abstractmethod
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cached_property

from hornet.errors import ImageError

MAX_LINKS = 40
# Far more than the package database, the largest text that a check reads.
MAX_TEXT_BYTES = 64 << 20


@dataclass(frozen=True)
class Entry:
    """The attributes of a path. identity: equal for all names of one file (hard links). device: of a device node."""

    mode: int
    uid: int
    gid: int
    size_bytes: int
    identity: int
    link_target: str | None = None
    device: int = 0

    @property
    def is_file(self) -> bool:
        """Whether it is a regular file."""
        return stat.S_ISREG(self.mode)

    @property
    def is_directory(self) -> bool:
        return stat.S_ISDIR(self.mode)


class ImageTree(ABC):
    """The files of an image. Paths are absolute within the image. Links are followed only inside it."""

    @property
    @abstractmethod
    def entries(self) -> Mapping[str, Entry]:
        """Every path except the root itself: files, directories, links, devices."""

    @property
    @abstractmethod
    def root(self) -> Entry:
        """The root directory itself."""

    @abstractmethod
    def read(self, path: str, offset_bytes: int, length_bytes: int) -> bytes:
        """Content of a regular file from an offset on, up to its end; holes are zeros."""

    @abstractmethod
    def data_ranges(self, path: str) -> Iterator[tuple[int, int]]:
        """The data ranges of a regular file, as (offset, length) in bytes, ascending; the rest is zeros."""

    @cached_property
    def paths(self) -> list[str]:
        """Every path, sorted."""
        return sorted(self.entries)

    @cached_property
    def files(self) -> list[str]:
        """Regular files, each with only one of its names (hard links)."""
        by_identity: dict[int, str] = {}
        for path in self.paths:
            if self.entries[path].is_file:
                by_identity.setdefault(self.entries[path].identity, path)
        return list(by_identity.values())

    def matching(self, patterns: Iterable[str]) -> list[str]:
        """Paths that match a glob; `*` stops at a slash. Paths below a matching directory are left out."""
        compiled = [_glob(pattern) for pattern in patterns]
        found: dict[str, None] = {}
        for path in self.paths:
            if any(pattern.fullmatch(path) for pattern in compiled) and not any(up in found for up in _above(path)):
                found[path] = None
        return list(found)

    def named(self, patterns: Iterable[str]) -> list[str]:
        """Everything except directories whose name matches a glob, in any directory."""
        wanted = tuple(patterns)
        named = (path for path in self.paths if any(fnmatchcase(path.rpartition("/")[2], glob) for glob in wanted))
        return [path for path in named if not self.entries[path].is_directory]

    def resolve(self, path: str) -> str | None:
        """The path with all links resolved; None if its target does not exist."""
        done, todo, links = "", [part for part in reversed(path.split("/")) if part], 0
        while todo:
            part = todo.pop()
            if part in (".", ".."):
                done = done.rpartition("/")[0] if part == ".." else done
                continue
            here = self.entries.get(f"{done}/{part}")
            if here is None:
                return None
            if here.link_target is None:
                done = f"{done}/{part}"
                continue
            links += 1
            if links > MAX_LINKS:
                return None
            done = "" if here.link_target.startswith("/") else done
            todo += [piece for piece in reversed(here.link_target.split("/")) if piece]
        return done or "/"

    def head(self, path: str, length_bytes: int = 256) -> bytes:
        """The first bytes of a regular file."""
        return self.read(path, 0, length_bytes)

    def size_below(self, path: str) -> tuple[int, int]:
        """The number of regular files at and below a path, and their total size in bytes."""
        inside = self.paths[bisect_left(self.paths, f"{path}/") : bisect_left(self.paths, f"{path}0")]
        files = [entry for name in (path, *inside) if (entry := self.entries[name]).is_file]
        return len(files), sum(entry.size_bytes for entry in files)

    def text(self, path: str) -> str | None:
        """A file's text, with links followed; None if it does not exist. Raises ImageError beyond MAX_TEXT_BYTES."""
        real = self.resolve(path)
        entry = self.entries.get(real) if real else None
        if real is None or entry is None or not entry.is_file:
            return None
        if entry.size_bytes > MAX_TEXT_BYTES:
            raise ImageError(f"{path}: {entry.size_bytes} bytes, expected a text of at most {MAX_TEXT_BYTES}")
        return self.read(real, 0, entry.size_bytes).decode(errors="replace")

    def open(self, path: str) -> io.BufferedReader:
        """A regular file as a stream that can be read and seeked."""
        return io.BufferedReader(_Content(self, path))


class _Content(io.RawIOBase):
    """A file of a tree with the interface of Python's raw streams."""

    def __init__(self, tree: ImageTree, path: str) -> None:
        self._tree, self._path, self._offset = tree, path, 0
        self._size_bytes = tree.entries[path].size_bytes

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._offset, io.SEEK_END: self._size_bytes}[whence]
        if base + offset < 0:
            raise ValueError(f"offset {base + offset} is before the start of the file")
        self._offset = base + offset
        return self._offset

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]  # BufferedReader gives nothing else
        data = self._tree.read(self._path, self._offset, len(buffer))
        buffer[: len(data)] = data
        self._offset += len(data)
        return len(data)


def _glob(pattern: str) -> re.Pattern[str]:
    return re.compile(re.escape(pattern).replace(r"\*", "[^/]*").replace(r"\?", "[^/]"))


def _above(path: str) -> Iterator[str]:
    while path := path.rpartition("/")[0]:
        yield path
