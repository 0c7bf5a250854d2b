"""Builds an ext4 image from a directory tree, reproducible to the byte."""

from __future__ import annotations

import hashlib
import os
import re
import tarfile
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from builders.rootfs.toolbox import Toolbox
from hornet.errors import BuildError
from hornet.spec.rootfs import Rootfs

BLOCK_BYTES = 4096
MB = 1_000_000
# Disable the defaults of new mke2fs releases that a 5.10 kernel can't mount.
FEATURES = "^orphan_file,^metadata_csum_seed"


@dataclass(frozen=True)
class ImageFacts:
    """Sizes of a finished image, in bytes."""

    size_bytes: int
    used_bytes: int
    free_bytes: int


def write_tar(root: Path, tar_path: Path, epoch_s: int, *, as_installed: bool = False) -> None:
    """Write a tar of the tree in a fixed order, with one time stamp for all files.

    All files belong to root, and equal files become hard links, except in a tree that a package manager made and will
    change again (as_installed).
    """
    seen: dict[str, str] = {}
    with tarfile.open(tar_path, "w", format=tarfile.GNU_FORMAT) as tar:
        for path in _walk(root):
            name = path.relative_to(root).as_posix()
            member = tar.gettarinfo(path, arcname=f"./{name}")
            if not as_installed:
                member.uid = member.gid = 0
            member.uname = member.gname = ""
            member.mtime = epoch_s
            if member.isreg() or member.islnk():
                member.type, member.linkname, member.size = tarfile.REGTYPE, "", path.stat().st_size
                twin = member.name if as_installed else seen.setdefault(_identity(path), member.name)
                if twin != member.name:
                    member.type, member.linkname, member.size = tarfile.LNKTYPE, twin, 0
                    tar.addfile(member)
                    continue
                with path.open("rb") as stream:
                    tar.addfile(member, stream)
            else:
                tar.addfile(member)


def make_ext4(
    rootfs: Rootfs, toolbox: Toolbox, *, tar_path: Path, image: Path, seed: str, max_mb: float, free_mb: float
) -> ImageFacts:
    """Write `image` from a tar, as small as its content and `free_mb` of free space allow.

    Content that exceeds `max_mb` still gets an image with free space. The check of the size reports the excess.
    """
    identity = str(uuid.uuid5(uuid.NAMESPACE_URL, f"hornetos:{seed}"))
    largest = int(max_mb * MB) // BLOCK_BYTES * BLOCK_BYTES
    content_bytes = tar_path.stat().st_size
    # The first pass only measures the content. Its image may be larger than allowed.
    trial = _mkfs(rootfs, max(largest, content_bytes * 5 // 4), toolbox, tar_path, image, identity)
    wanted = trial.used_bytes + int(free_mb * MB)
    size_bytes = (wanted * 101 // 100) // BLOCK_BYTES * BLOCK_BYTES
    if trial.used_bytes < largest < size_bytes:
        size_bytes = largest
    return _mkfs(rootfs, size_bytes, toolbox, tar_path, image, identity)


def _mkfs(rootfs: Rootfs, size_bytes: int, toolbox: Toolbox, tar_path: Path, image: Path, identity: str) -> ImageFacts:
    image.unlink(missing_ok=True)
    with image.open("wb") as stream:
        stream.truncate(size_bytes)
    with tarfile.open(tar_path) as tar:
        inodes = len(tar.getmembers()) + rootfs.inodes_spare
    extended = f"lazy_itable_init=0,lazy_journal_init=0,hash_seed={identity}"
    argv: list[str | Path] = [
        *("-q", "-F", "-t", "ext4"),
        *("-m", "0", "-b", str(BLOCK_BYTES), "-O", FEATURES, "-J", f"size={rootfs.journal_mib}"),
        *("-N", str(inodes), "-E", extended, "-U", identity, "-L", "hornetos"),
        *("-d", tar_path, image),
    ]
    settings = {
        "SOURCE_DATE_EPOCH": str(rootfs.source_date_epoch),
        "MKE2FS_CONFIG": str(toolbox.tree / "etc/mke2fs.conf"),
    }
    toolbox.run("mke2fs", *argv, env=settings)
    header = toolbox.run("dumpe2fs", "-h", image)
    blocks, free = _number(header, "Block count"), _number(header, "Free blocks")
    return ImageFacts(size_bytes, (blocks - free) * BLOCK_BYTES, free * BLOCK_BYTES)


def _number(header: str, name: str) -> int:
    found = re.search(rf"^{name}:\s+(\d+)", header, re.MULTILINE)
    if not found:
        raise BuildError(f"dumpe2fs shows no {name!r}")
    return int(found[1])


def _walk(root: Path) -> Iterator[Path]:
    for directory, names, files in os.walk(root):
        names.sort()
        here = Path(directory)
        links = [name for name in names if (here / name).is_symlink()]
        if here != root:
            yield here
        yield from (here / name for name in sorted([*files, *links]))


def _identity(path: Path) -> str:
    """Identifies a file's inode in the image: files with equal content and mode share one."""
    with path.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    return f"{digest} {path.stat().st_mode:o} {path.stat().st_size or path}"
