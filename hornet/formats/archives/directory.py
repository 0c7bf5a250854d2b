"""A directory as a tar in a private file, because the sandbox sees no directory of the host.

The files are only copied here. Every name is opened relative to its open directory and never followed, so whoever may
write below the directory cannot lead the suite out of it.
"""

from __future__ import annotations

import os
import stat
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from hornet.errors import ImageError
from hornet.formats.archives.members import MAX_MEMBERS
from hornet.host.file_copy import copy_range, data_ranges, write_at

# Each level keeps one descriptor open. Nested node_modules have some thirty.
MAX_DEPTH = 200
_DIRECTORY_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY
_TYPES = {
    stat.S_IFREG: tarfile.REGTYPE,
    stat.S_IFDIR: tarfile.DIRTYPE,
    stat.S_IFLNK: tarfile.SYMTYPE,
    stat.S_IFCHR: tarfile.CHRTYPE,
    stat.S_IFBLK: tarfile.BLKTYPE,
    stat.S_IFIFO: tarfile.FIFOTYPE,
    # A tar has no sockets. For the checks, both are names without content.
    stat.S_IFSOCK: tarfile.FIFOTYPE,
}


def pack_directory(directory: Path, target: BinaryIO) -> None:
    """Write the files below a directory as a tar into an open, empty file. Holes stay holes.

    Raises ImageError for what cannot be read, for a file system mounted inside, for more files than an image has, and
    for files that change meanwhile.
    """
    try:
        root = os.open(directory, _DIRECTORY_FLAGS & ~os.O_NOFOLLOW)
    except OSError as error:
        raise ImageError(
            f"dir:{directory}: cannot be read: {error.strerror}", "name a directory that you may read"
        ) from error
    try:
        _Packer(target, str(directory), os.fstat(root).st_dev).pack(root)
    except OSError as error:
        raise ImageError(
            f"dir:{directory}: cannot be read: {error.filename or ''} {error.strerror}",
            "run as root, on a directory that nobody changes, with room for a copy in HORNET_HOME",
        ) from error
    finally:
        os.close(root)


class _Packer:
    def __init__(self, target: BinaryIO, name: str, device: int) -> None:
        self.target, self.name, self.device = target.fileno(), name, device
        self.count = self.place = 0
        self.names: dict[tuple[int, int], str] = {}

    def pack(self, root: int) -> None:
        self._header(".", os.fstat(root))
        self._below(root, ".", 0)
        write_at(self.target, bytes(2 * tarfile.BLOCKSIZE), self.place)

    def _below(self, directory: int, above: str, depth: int) -> None:
        if depth > MAX_DEPTH:
            raise ImageError(f"dir:{self.name}: directories nested in more than {MAX_DEPTH} levels", "name an image")
        for name in sorted(os.listdir(directory)):
            path, found = f"{above}/{name}", os.stat(name, dir_fd=directory, follow_symlinks=False)
            self.count += 1
            if self.count > MAX_MEMBERS:
                raise ImageError(f"dir:{self.name}: more than {MAX_MEMBERS} files", "name the root of one image")
            if stat.S_ISDIR(found.st_mode):
                with _opened(name, _DIRECTORY_FLAGS, directory, found) as inner:
                    if found.st_dev != self.device:
                        raise ImageError(f"dir:{self.name}: {path} is another file system", "unmount it, then judge it")
                    self._header(path, found)
                    self._below(inner, path, depth + 1)
            elif stat.S_ISREG(found.st_mode):
                self._file(directory, name, path, found)
            else:
                target = os.readlink(name, dir_fd=directory) if stat.S_ISLNK(found.st_mode) else ""
                self._header(path, found, link=target)

    def _file(self, directory: int, name: str, path: str, found: os.stat_result) -> None:
        first = self.names.setdefault((found.st_dev, found.st_ino), path)
        if first != path:
            self._header(path, found, link=first, kind=tarfile.LNKTYPE)
            return
        with _opened(name, _FILE_FLAGS, directory, found) as source:
            self._header(path, found, size_bytes=found.st_size)
            for begin, length in data_ranges(source):
                end = min(begin + length, found.st_size)
                copy_range(source, self.target, begin, end, self.place + begin)
            self.place += -(-found.st_size // tarfile.BLOCKSIZE) * tarfile.BLOCKSIZE

    def _header(
        self, path: str, found: os.stat_result, *, size_bytes: int = 0, link: str = "", kind: bytes | None = None
    ) -> None:
        info = tarfile.TarInfo(path)
        info.mode, info.uid, info.gid = stat.S_IMODE(found.st_mode), found.st_uid, found.st_gid
        info.type, info.linkname, info.size = kind or _TYPES[stat.S_IFMT(found.st_mode)], link, size_bytes
        header = info.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")
        write_at(self.target, header, self.place)
        self.place += len(header)


@contextmanager
def _opened(name: str, flags: int, directory: int, expected: os.stat_result) -> Iterator[int]:
    """A file opened by its name in an open directory; OSError if another has taken its place."""
    descriptor = os.open(name, flags, dir_fd=directory)
    try:
        found = os.fstat(descriptor)
        if not os.path.samestat(found, expected) or found.st_size != expected.st_size:
            raise OSError(0, "it was changed meanwhile", name)
        yield descriptor
    finally:
        os.close(descriptor)
