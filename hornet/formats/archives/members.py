"""The members of a tar, checked one by one: names, types and where their content lies. Nothing is unpacked.

Python's tarfile reads the headers (ustar, GNU and PAX, with sparse files). What it passes over in silence is an error
here: a damaged header, an end that is missing, content that lies elsewhere than in its own member.
"""

from __future__ import annotations

import os
import stat
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO, cast

from hornet.errors import ImageError

BLOCK_BYTES = tarfile.BLOCKSIZE
# Images have some ten thousand files. Each costs about 1 KiB of the sandbox's memory.
MAX_MEMBERS = 500_000
# linux/limits.h: no program can name a longer path.
PATH_MAX = 4096
REMEDY = "create the archive again"
REGULAR = (tarfile.REGTYPE, tarfile.AREGTYPE, tarfile.CONTTYPE, tarfile.GNUTYPE_SPARSE)
_MODES = {
    **dict.fromkeys(REGULAR, stat.S_IFREG),
    tarfile.DIRTYPE: stat.S_IFDIR,
    tarfile.SYMTYPE: stat.S_IFLNK,
    tarfile.LNKTYPE: 0,
    tarfile.CHRTYPE: stat.S_IFCHR,
    tarfile.BLKTYPE: stat.S_IFBLK,
    tarfile.FIFOTYPE: stat.S_IFIFO,
}


@dataclass(frozen=True)
class Run:
    """A piece of a file that is stored. offset: in the file; place: in the archive; all in bytes."""

    offset: int
    length: int
    place: int


@dataclass(frozen=True)
class Member:
    """A member. parts: its path; empty for the root. mode: with the type, 0 for a hard link. link: its target."""

    parts: tuple[str, ...]
    mode: int
    uid: int
    gid: int
    size_bytes: int
    link: str
    runs: tuple[Run, ...]

    @property
    def is_hard_link(self) -> bool:
        return self.mode == 0


def members(archive: int) -> Iterator[Member]:
    """The members of the tar that a descriptor has open, in stored order.

    Raises ImageError for anything but a whole, valid tar whose members stay inside the image.
    """
    with open(archive, "rb", closefd=False) as stream:
        stream.seek(0)  # the descriptor may have been read before
        try:
            yield from _members(cast(BinaryIO, stream), os.fstat(archive).st_size)
        except (tarfile.TarError, ValueError, OverflowError, RecursionError) as error:
            raise ImageError(f"not a valid tar: {error}", REMEDY) from error


def _members(stream: BinaryIO, archive_bytes: int) -> Iterator[Member]:
    count = after = 0
    with tarfile.open(fileobj=stream, mode="r:", encoding="utf-8", errors="surrogateescape") as tar:
        while info := tar.next():
            count += 1
            if count > MAX_MEMBERS:
                raise ImageError(f"more than {MAX_MEMBERS} members", "is it the image of a root file system?")
            # A negative size would lead tarfile back to where it was.
            if not after <= info.offset < info.offset_data <= tar.offset <= archive_bytes + BLOCK_BYTES:
                raise ImageError(f"{info.name[:80]!r}: its content lies outside the archive", REMEDY)
            after = tar.offset
            yield _member(info, tar.offset)
        stream.seek(tar.offset)
        if stream.read(BLOCK_BYTES) != bytes(BLOCK_BYTES):
            raise ImageError(
                f"it has no end: after {count} members, at byte {tar.offset}, is neither a header nor a block of zeros",
                "the archive is truncated or damaged: copy it again",
            )


def _member(info: tarfile.TarInfo, next_place: int) -> Member:
    if info.type not in _MODES:
        raise ImageError(f"{info.name[:80]!r}: a member of the unknown type {info.type!r}", REMEDY)
    kind = _MODES[info.type]
    runs = tuple(_runs(info, next_place)) if kind == stat.S_IFREG else ()
    return Member(
        parts=path_parts(info.name),
        mode=kind | stat.S_IMODE(info.mode) if kind else 0,
        uid=info.uid,
        gid=info.gid,
        size_bytes=info.size if kind == stat.S_IFREG else 0,
        link=info.linkname,
        runs=runs,
    )


def path_parts(name: str) -> tuple[str, ...]:
    """The parts of a path in an archive. Raises ImageError for one that leads out of it or that no file can have."""
    parts = tuple(part for part in name.split("/") if part not in ("", "."))
    if ".." in parts or "\0" in name:
        raise ImageError(f"{name[:80]!r}: a path that leads out of its image", "nothing of it is read: build it anew")
    if len(name) > PATH_MAX:
        raise ImageError(f"{name[:80]!r}…: a path longer than {PATH_MAX} bytes: no guest can use such files", REMEDY)
    return parts


def _runs(info: tarfile.TarInfo, next_place: int) -> Iterator[Run]:
    """Where a file's content lies. Raises ImageError if its map of holes does not fit its size or its content."""
    if not info.issparse():
        if info.offset_data + info.size > next_place:
            raise ImageError(f"{info.name[:80]!r}: its content lies outside its member", REMEDY)
        if info.size:
            yield Run(0, info.size, info.offset_data)
        return
    end, place = 0, info.offset_data
    holes: Any = info.sparse  # typeshed has another type
    for offset, length in holes:
        if not length:  # also the unused entries of GNU's headers
            continue
        if not (end <= offset and length >= 0 and offset + length <= info.size and place + length <= next_place):
            raise ImageError(f"{info.name[:80]!r}: a map of holes that does not fit its content", REMEDY)
        yield Run(offset, length, place)
        end, place = offset + length, place + length
