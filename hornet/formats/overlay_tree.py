"""The files of an image whose /usr is compressed, as its guest sees them (docs/images.md, Layouts).

/layers/usr.squashfs holds /usr. /layers/changes is the upper layer of an overlay over it (Linux:
Documentation/filesystems/overlayfs.rst): a character device 0/0 deletes a name, `trusted.overlay.opaque` hides the
content of a directory.
"""

from __future__ import annotations

import stat
from collections.abc import Iterator, Mapping

from hornet.errors import Ext4Error
from hornet.formats.ext4.reader import ROOT_INODE, Ext4Reader
from hornet.formats.ext4.tree import Ext4Tree
from hornet.formats.image_tree import Entry, ImageTree
from hornet.formats.squashfs import SquashfsTree

USR = "/usr"
USR_FILE = "/layers/usr.squashfs"
CHANGES = "/layers/changes"
# Equal if the changes were made to this /usr. The second one is in it.
ID_OF_CHANGES = "/layers/usr-id"
ID_IN_USR = "/lib/hornetos/usr-id"
OPAQUE = "trusted.overlay.opaque"
# The kernel of the project makes neither (CONFIG_OVERLAY_FS_REDIRECT_DIR, CONFIG_OVERLAY_FS_METACOPY).
UNSUPPORTED = ("trusted.overlay.redirect", "trusted.overlay.metacopy")


def has_compressed_usr(fs: Ext4Reader) -> bool:
    """Whether an image has the compressed layout. Reads three directories only: others may have paths that are refused.

    Raises Ext4Error.
    """
    number: int | None = ROOT_INODE
    for name in USR_FILE.encode().strip(b"/").split(b"/"):
        if number is None or not fs.inode(number).is_directory:
            return False
        number = next((entry.inode for entry in fs.entries(number) if entry.name == name), None)
    return number is not None


def image_tree(fs: Ext4Reader) -> ImageTree:
    """The files of an image of either layout. Raises Ext4Error, and SquashfsError for a damaged compressed /usr."""
    disk = Ext4Tree(fs)
    entry = disk.entries.get(USR_FILE)
    if entry is None:
        return disk
    if not entry.is_file:
        raise Ext4Error(f"{USR_FILE}: not a regular file, expected the compressed /usr", "build the image again")
    return OverlayTree(disk, SquashfsTree(disk.open(USR_FILE), USR_FILE))


class OverlayTree(ImageTree):
    """The overlay's view of /usr; everything else is the disk's.

    What a change hides is still in the compressed /usr, where a guest's root can read it. It appears below USR_FILE.
    """

    def __init__(self, disk: Ext4Tree, base: SquashfsTree) -> None:
        self._disk, self._base = disk, base
        self._source: dict[str, tuple[ImageTree, str]] = {}
        self._place()
        self._entries = {path: tree.entries[inner] for path, (tree, inner) in self._source.items()}

    @property
    def root(self) -> Entry:
        return self._disk.root

    @property
    def entries(self) -> Mapping[str, Entry]:
        return self._entries

    def read(self, path: str, offset_bytes: int, length_bytes: int) -> bytes:
        tree, inner = self._source[path]
        return tree.read(inner, offset_bytes, length_bytes)

    def data_ranges(self, path: str) -> Iterator[tuple[int, int]]:
        tree, inner = self._source[path]
        return tree.data_ranges(inner)

    def _place(self) -> None:
        changes: dict[str, Entry] = {}
        for path, entry in self._disk.entries.items():
            if _below(path, CHANGES):
                changes[path.removeprefix(CHANGES)] = entry
            elif not _below(path, USR):
                self._source[path] = (self._disk, path)
        self._source[USR] = (self._disk, CHANGES if CHANGES in self._disk.entries else USR)
        # Names that replace what is below them, and directories that hide only their content.
        replaced = {path for path, entry in changes.items() if self._replaces(path, entry)}
        emptied = replaced | {path for path, entry in changes.items() if self._is_opaque(path, entry)}
        for path in self._base.entries:
            hidden = path in replaced or any(above in emptied for above in _above(path))
            if path in changes and not hidden:
                continue
            if hidden:
                self._show_in_file(path)
            else:
                self._source[f"{USR}{path}"] = (self._base, path)
        if ID_IN_USR in self._base.entries:
            self._show_in_file(ID_IN_USR)
        for path, entry in changes.items():
            if not _is_whiteout(entry):
                self._source[f"{USR}{path}"] = (self._disk, f"{CHANGES}{path}")

    def _show_in_file(self, path: str) -> None:
        for shown in (path, *_above(path)):
            self._source[f"{USR_FILE}{shown}"] = (self._base, shown)

    def _replaces(self, path: str, entry: Entry) -> bool:
        below = self._base.entries.get(path)
        return not entry.is_directory or (below is not None and not below.is_directory)

    def _is_opaque(self, path: str, entry: Entry) -> bool:
        place = f"{CHANGES}{path}"
        for name in UNSUPPORTED:
            if self._disk.attribute(place, name) is not None:
                raise Ext4Error(f"{place}: has {name}, which this layout does not use", "build the image again")
        return entry.is_directory and self._disk.attribute(place, OPAQUE) == b"y"


def _is_whiteout(entry: Entry) -> bool:
    return stat.S_ISCHR(entry.mode) and entry.device == 0


def _below(path: str, directory: str) -> bool:
    return path.startswith(f"{directory}/")


def _above(path: str) -> Iterator[str]:
    while path := path.rpartition("/")[0]:
        yield path
