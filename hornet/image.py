"""An image's files, looked at from the host: unpacked from the ext4 file without mounting or booting it."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cached_property
from pathlib import Path

from hornet.errors import Ext4Error
from hornet.ext4.superblock import read_superblock
from hornet.files import clone_file
from hornet.proc import run

FSCK_TIMEOUT_S = 120
UNPACK_TIMEOUT_S = 300
# e2fsck: 1 and 2 mean that it repaired something, as for any disk of a VM that was not shut down.
FSCK_OK = (0, 1, 2)
MAX_LINKS = 40


@dataclass(frozen=True)
class ImageTree:
    """The files of an image below `root`. Paths are the image's own, absolute; links are followed inside it only."""

    root: Path

    @cached_property
    def paths(self) -> list[str]:
        """Every path, sorted: files, directories, links."""
        found = []
        for directory, names, files in os.walk(self.root):
            inside = directory[len(str(self.root)) :]
            found += [f"{inside}/{name}" for name in [*names, *files]]
        return sorted(found)

    @cached_property
    def files(self) -> list[str]:
        """Regular files."""
        return [path for path in self.paths if (full := self.host_path(path)).is_file() and not full.is_symlink()]

    def host_path(self, path: str) -> Path:
        """Where the host has it. The last part may be a link, the parts before it must not be."""
        return self.root / path.lstrip("/")

    def matching(self, patterns: Iterable[str]) -> list[str]:
        """Paths that match a glob; `*` stops at a slash. Of a directory and what is below it only the directory."""
        compiled = [_glob(pattern) for pattern in patterns]
        found: list[str] = []
        for path in self.paths:
            if any(pattern.fullmatch(path) for pattern in compiled) and not _below(path, found):
                found.append(path)
        return found

    def named(self, patterns: Iterable[str]) -> list[str]:
        """Regular files and links whose name matches a glob, wherever they are."""
        wanted = tuple(patterns)
        named = (path for path in self.paths if any(fnmatchcase(path.rpartition("/")[2], glob) for glob in wanted))
        return [path for path in named if self.host_path(path).is_symlink() or not self.host_path(path).is_dir()]

    def resolve(self, path: str) -> str | None:
        """The real path behind all links; None if it leads nowhere."""
        done, todo, links = "", [part for part in path.split("/") if part], 0
        while todo:
            part = todo.pop(0)
            if part in (".", ".."):
                done = done.rpartition("/")[0] if part == ".." else done
                continue
            here = self.host_path(f"{done}/{part}")
            if here.is_symlink():
                links += 1
                if links > MAX_LINKS:
                    return None
                target = os.readlink(here)
                done = "" if target.startswith("/") else done
                todo = [piece for piece in target.split("/") if piece] + todo
            elif here.exists():
                done = f"{done}/{part}"
            else:
                return None
        return done or "/"

    def head(self, path: str, length_bytes: int = 256) -> bytes:
        """How a regular file begins."""
        with self.host_path(path).open("rb") as stream:
            return stream.read(length_bytes)

    def size_below(self, path: str) -> tuple[int, int]:
        """Number of regular files at and below a path, and their bytes."""
        files = [file for file in self.files if file == path or file.startswith(f"{path}/")]
        return len(files), sum(self.host_path(file).stat().st_size for file in files)

    def text(self, path: str) -> str | None:
        """A file's text, links followed; None if there is none."""
        real = self.resolve(path)
        if real is None or not self.host_path(real).is_file():
            return None
        return self.host_path(real).read_text(errors="replace")


@contextmanager
def unpacked_image(image: Path, work: Path) -> Iterator[ImageTree]:
    """The files of an ext4 image in a temporary directory below `work`.

    A private copy is repaired first: the disk of a snapshot has a journal to replay, and a foreign image may hold
    what unpacking must not meet. Raises Ext4Error for a file that is not ext4 or can't be repaired.
    """
    read_superblock(image)
    directory = Path(tempfile.mkdtemp(prefix="image-", dir=work))
    try:
        copy, root = directory / "image", directory / "root"
        clone_file(image, copy)
        fsck = run(["e2fsck", "-f", "-y", copy], timeout_s=FSCK_TIMEOUT_S, ok_codes=range(256))
        if fsck.exit_code not in FSCK_OK:
            raise Ext4Error(
                f"{image}: e2fsck can't repair it: {fsck.output.strip()[-300:]}", "take another copy of the image"
            )
        root.mkdir()
        dumped = run(["debugfs", "-R", f'rdump / "{root}"', copy], timeout_s=UNPACK_TIMEOUT_S).output
        copy.unlink()
        tree = ImageTree(root)
        # debugfs exits 0 whatever happens.
        if not tree.paths:
            raise Ext4Error(f"{image}: nothing in it can be unpacked: {dumped.strip()[-300:]}")
        yield tree
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _glob(pattern: str) -> re.Pattern[str]:
    return re.compile(re.escape(pattern).replace(r"\*", "[^/]*").replace(r"\?", "[^/]"))


def _below(path: str, found: list[str]) -> bool:
    return any(path.startswith(f"{parent}/") for parent in found)
