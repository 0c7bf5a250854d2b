"""The files of a tar, or of an OCI image's layers on top of each other, as an ImageTree. Runs in the sandbox.

Sources: the OCI image specification (layer.md: whiteouts), and how containerd and GNU tar unpack.
"""

from __future__ import annotations

import os
import stat
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property

from hornet.errors import ImageError
from hornet.formats.archives.members import REMEDY, Member, Run, members, path_parts
from hornet.formats.image_tree import Entry, ImageTree
from hornet.host.file_copy import data_ranges

WHITEOUT, OPAQUE = ".wh.", ".wh..wh..opq"
# Names of the storage drivers' own bookkeeping, never of files.
RESERVED = ".wh..wh."
IMPLICIT = 0o755


class Archive:
    """An open tar. Its holes, if the file system knows them, are holes of its members."""

    def __init__(self, fd: int) -> None:
        self.fd = fd

    @cached_property
    def data(self) -> list[tuple[int, int]]:
        """Where it has data, as (begin, end) in bytes, ascending."""
        return [(begin, begin + length) for begin, length in data_ranges(self.fd)]

    def data_within(self, begin: int, end: int) -> Iterator[tuple[int, int]]:
        """The parts of a range that have data, as (begin, end)."""
        first = max(0, bisect_right(self.data, (begin, begin)) - 1)
        for found_begin, found_end in self.data[first:]:
            if found_begin >= end:
                return
            if begin < found_end:
                yield max(begin, found_begin), min(end, found_end)


class LayeredTree(ImageTree):
    """The files of archives, the later on top of the earlier. whiteouts: names that begin with `.wh.` remove files.

    Raises ImageError for what no image has: paths and hard links that lead out of it or to nothing, files below files.
    """

    def __init__(self, archives: Sequence[int], *, whiteouts: bool) -> None:
        self._entries: dict[str, Entry] = {}
        self._children: dict[str, set[str]] = {"": set()}
        self._content: dict[int, tuple[Archive, tuple[Run, ...]]] = {}
        self._root = Entry(stat.S_IFDIR | IMPLICIT, 0, 0, 0, identity=0)
        self._next_identity = 1
        for archive in map(Archive, archives):
            if whiteouts:
                for member in members(archive.fd):
                    self._white_out(member)
            for member in members(archive.fd):
                if not (whiteouts and member.parts and member.parts[-1].startswith(WHITEOUT)):
                    self._add(member, archive)

    @property
    def entries(self) -> Mapping[str, Entry]:
        return self._entries

    @property
    def root(self) -> Entry:
        return self._root

    def read(self, path: str, offset_bytes: int, length_bytes: int) -> bytes:
        entry = self._entries[path]
        archive, runs = self._content[entry.identity]
        end_bytes = min(offset_bytes + length_bytes, entry.size_bytes)
        found = bytearray(max(0, end_bytes - offset_bytes))
        for run in _from(runs, offset_bytes):
            begin, end = max(run.offset, offset_bytes), min(run.offset + run.length, end_bytes)
            if begin >= end:
                break
            piece = os.pread(archive.fd, end - begin, run.place + begin - run.offset)
            found[begin - offset_bytes : begin - offset_bytes + len(piece)] = piece
        return bytes(found)

    def data_ranges(self, path: str) -> Iterator[tuple[int, int]]:
        archive, runs = self._content[self._entries[path].identity]
        found = (
            (begin - run.place + run.offset, end - run.place + run.offset)
            for run in runs
            for begin, end in archive.data_within(run.place, run.place + run.length)
        )
        return ((begin, end - begin) for begin, end in _joined(found))

    def _white_out(self, member: Member) -> None:
        """Remove what a member hides of the layers below."""
        if not member.parts or not member.parts[-1].startswith(WHITEOUT):
            return
        *above, name = member.parts
        parent = self.resolve("/".join(above))
        if parent is None:
            return
        parent = parent.rstrip("/")
        if name == OPAQUE:
            for child in list(self._children.get(parent, ())):
                self._remove(child)
        elif not name.startswith(RESERVED):
            hidden = path_parts(name.removeprefix(WHITEOUT))
            if len(hidden) != 1:
                raise ImageError(f"{'/'.join(member.parts)[:80]!r}: a whiteout of nothing", REMEDY)
            if f"{parent}/{hidden[0]}" in self._entries:
                self._remove(f"{parent}/{hidden[0]}")

    def _add(self, member: Member, archive: Archive) -> None:
        if not member.parts:
            if not stat.S_ISDIR(member.mode):
                raise ImageError("its root is not a directory", REMEDY)
            self._root = Entry(member.mode, member.uid, member.gid, 0, identity=0)
            return
        path = f"{self._parent(member.parts[:-1])}/{member.parts[-1]}"
        if member.is_hard_link:
            entry = self._linked(path, member.link)
        else:
            target = member.link if stat.S_ISLNK(member.mode) else None
            entry = Entry(member.mode, member.uid, member.gid, member.size_bytes, self._next_identity, target)
            self._next_identity += 1
            if entry.is_file:
                self._content[entry.identity] = (archive, member.runs)
        self._put(path, entry)

    def _linked(self, path: str, target: str) -> Entry:
        """The entry of a hard link: that of its target, which is a path from the root and not followed itself."""
        *above, name = path_parts(target) or ("",)
        parent = self.resolve("/".join(above))
        found = self._entries.get(f"{parent.rstrip('/')}/{name}") if parent is not None else None
        if found is None or found.is_directory:
            raise ImageError(f"{path[:80]!r}: a hard link to {target[:80]!r}, which is no file of the image", REMEDY)
        return found

    def _parent(self, parts: Sequence[str]) -> str:
        """The directory with this path, links followed inside the image; made if an archive leaves it out."""
        whole = "".join(f"/{part}" for part in parts)
        if whole in self._children:
            return whole
        here = ""
        for part in parts:
            path = f"{here}/{part}"
            real = self.resolve(path)
            if real is None and path not in self._entries:
                self._put(path, Entry(stat.S_IFDIR | IMPLICIT, 0, 0, 0, self._next_identity))
                self._next_identity += 1
                real = path
            here = (real or path).rstrip("/")
            if here not in self._children:
                raise ImageError(f"{whole[:80]!r}: {path[:80]!r} is not a directory, but files lie below it", REMEDY)
        return here

    def _put(self, path: str, entry: Entry) -> None:
        """Add or replace an entry. A directory keeps what is in one of the same name."""
        known = self._entries.get(path)
        if known and not (known.is_directory and entry.is_directory):
            self._remove(path)
        self._entries[path] = entry
        self._children[path.rpartition("/")[0]].add(path)
        if entry.is_directory:
            self._children.setdefault(path, set())

    def _remove(self, path: str) -> None:
        self._children[path.rpartition("/")[0]].discard(path)
        todo = [path]
        while todo:
            gone = todo.pop()
            del self._entries[gone]
            todo += self._children.pop(gone, ())


def _from(runs: Sequence[Run], offset: int) -> Iterator[Run]:
    """The runs from the one on that holds `offset`, or the next."""
    first = max(0, bisect_right(runs, offset, key=lambda run: run.offset) - 1)
    for place in range(first, len(runs)):
        if runs[place].offset + runs[place].length > offset:
            yield runs[place]


def _joined(ranges: Iterable[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Ascending ranges with those joined that touch: otherwise a map of holes could cut a secret in two."""
    begin = end = 0
    for next_begin, next_end in ranges:
        if next_begin != end:
            if begin < end:
                yield begin, end
            begin = next_begin
        end = next_end
    if begin < end:
        yield begin, end
