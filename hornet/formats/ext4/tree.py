"""The files of an ext4 image as an ImageTree, read in the sandbox (see reader.py)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from hornet.errors import Ext4Error
from hornet.formats.ext4.reader import ROOT_INODE, Ext4Reader, Inode
from hornet.formats.image_tree import Entry, ImageTree

# linux/limits.h: no program of the guest can name a longer path.
PATH_MAX = 4096
REMEDY = "look for more damage with `hornetos ext4 FILE`, then take another copy of the image"


class Ext4Tree(ImageTree):
    """The files of an open, repaired file system. Raises Ext4Error for a duplicate name or a too long path."""

    def __init__(self, fs: Ext4Reader) -> None:
        self._fs = fs
        self._inodes: dict[int, Inode] = {}
        self._entries = self._read_entries()

    @property
    def entries(self) -> Mapping[str, Entry]:
        return self._entries

    @property
    def root(self) -> Entry:
        return self._entry(self._inode(ROOT_INODE))

    def _read_entries(self) -> dict[str, Entry]:
        found: dict[str, Entry] = {}
        todo, seen = [("", ROOT_INODE)], {ROOT_INODE}
        while todo:
            parent, directory = todo.pop()
            for entry in self._fs.entries(directory):
                # Two names that differ only in bytes that are not UTF-8 must stay different.
                path = f"{parent}/{entry.name.decode(errors='surrogateescape')}"
                self._check_path(path, found)
                inode = self._inode(entry.inode)
                found[path] = self._entry(inode)
                if inode.is_directory and inode.number not in seen:
                    seen.add(inode.number)
                    todo.append((path, inode.number))
        return found

    def read(self, path: str, offset_bytes: int, length_bytes: int) -> bytes:
        return self._fs.read(self._inode(self.entries[path].identity), offset_bytes, length_bytes)

    def data_ranges(self, path: str) -> Iterator[tuple[int, int]]:
        return self._fs.data_ranges(self._inode(self.entries[path].identity))

    def attribute(self, path: str, name: str) -> bytes | None:
        """An extended attribute of a path; None if it does not have it."""
        return self._fs.attribute(self.entries[path].identity, name)

    @staticmethod
    def _check_path(path: str, found: Mapping[str, Entry]) -> None:
        if path in found:
            raise Ext4Error(f"{path!r} occurs twice in its directory: the file system is damaged", REMEDY)
        if len(path) > PATH_MAX:
            raise Ext4Error(f"{path[:80]!r}…: a path longer than {PATH_MAX} bytes: no guest can use such files")

    def _inode(self, number: int) -> Inode:
        return self._inodes.get(number) or self._inodes.setdefault(number, self._fs.inode(number))

    def _entry(self, inode: Inode) -> Entry:
        target = self._fs.link_target(inode).decode(errors="surrogateescape") if inode.is_link else None
        return Entry(inode.mode, inode.uid, inode.gid, inode.size_bytes, inode.number, target, inode.device)
