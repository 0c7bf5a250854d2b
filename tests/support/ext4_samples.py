"""Real ext4 images, small: made by mkfs.ext4, mounted by the host's kernel, damaged by debugfs or byte by byte."""

from __future__ import annotations

import random
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import pytest

from tests.support.private_mounts import mounted_here

BLOCK = 4096


def run(*argv: object) -> str:
    done = subprocess.run(list(map(str, argv)), capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, f"{argv}: {done.stdout}{done.stderr}"
    return done.stdout


def make_image(path: Path, size_mib: int = 16) -> Path:
    """An image with a few directories, small files, links and one bigger file."""
    tree = path.with_suffix(".tree")
    random_bytes = random.Random(1).randbytes
    for number in range(12):
        directory = tree / f"d{number}" / "sub"
        directory.mkdir(parents=True)
        (directory / "file").write_bytes(random_bytes(1000 * number + 10))
        (directory / "link").symlink_to("file")
    (tree / "big").write_bytes(random_bytes(600_000))
    (tree / "other").write_bytes(random_bytes(20_000))
    with path.open("wb") as stream:
        stream.truncate(size_mib << 20)
    options = ["-q", "-F", "-m", "0", "-b", str(BLOCK), "-J", "size=4", "-N", "256", "-L", "hornetos"]
    run("mkfs.ext4", *options, "-E", "lazy_itable_init=0,lazy_journal_init=0", "-d", tree, path)
    shutil.rmtree(tree)
    return path


@contextmanager
def mounted(image: Path, options: str = "loop") -> Iterator[Path]:
    """The image mounted by the host's kernel, read-write unless told otherwise, and seen by this process only.

    Skips the test on a host that can't: what only a kernel's mount does to an image is not judged there.
    """
    if not loop_devices_work():
        pytest.skip("not judged: a mount of an image is needed, and this host has no loop devices")
    # A short path: the kernel notes up to 63 characters of it in the superblock.
    where = Path(tempfile.mkdtemp(prefix="hornet-"))
    try:
        with mounted_here(where, "-o", options, image):
            yield where
    finally:
        where.rmdir()


@cache
def loop_devices_work() -> bool:
    """Proved by using one: containers often have none, or names of some that they may not open."""
    with tempfile.NamedTemporaryFile() as file:
        file.truncate(1 << 20)
        argv = ["losetup", "--find", "--show", "--read-only", file.name]
        attached = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
        if attached.returncode == 0:
            run("losetup", "--detach", attached.stdout.strip())
        return attached.returncode == 0


def mark_as_mounted(image: Path, mount_count: int) -> None:
    """What the superblock of a snapshot's disk says: mounted, not unmounted, nothing left in the journal.

    No mount does it, so that it can be done on any host.
    """
    now = time.strftime("%Y%m%d%H%M%S", time.gmtime())
    debugfs(image, f"set_super_value mnt_count {mount_count}", f"set_super_value mtime {now}", "feature needs_recovery")


def live_copy(image: Path, copy: Path) -> Path:
    """What the disk of a running VM looks like: mounted, written to, synced, and with a file deleted while open."""
    with mounted(image) as root:
        (root / "new").write_text("new")
        shutil.rmtree(root / "d3")
        with (root / "deleted").open("w") as stream:
            stream.write("x" * 50_000)
            stream.flush()
            (root / "deleted").unlink()
            run("sync", "-f", root)
            run("cp", "--sparse=always", image, copy)
    return copy


def debugfs(image: Path, *commands: str) -> None:
    """Change an image as someone who knows ext4 would: checksums stay right."""
    for command in commands:
        run("debugfs", "-w", "-R", command, image)


def first_block(image: Path, path: str) -> int:
    """The first block of a file or directory, for byte-wise damage."""
    return int(run("debugfs", "-R", f"blocks {path}", image).split()[0])


def structures(image: Path) -> dict[str, int]:
    """Where the structures that damage can hit begin, by name, in bytes."""
    text = run("dumpe2fs", image)
    found = {"superblock": 1024, "group descriptors": BLOCK, "root directory": first_block(image, "/") * BLOCK}
    for name, pattern in (
        ("block bitmap", r"Block bitmap at (\d+)"),
        ("inode bitmap", r"Inode bitmap at (\d+)"),
        ("inode table", r"Inode table at (\d+)"),
    ):
        at = re.search(pattern, text)
        assert at, f"dumpe2fs names no {name}: {text}"
        found[name] = int(at[1]) * BLOCK
    return found


def overwrite(path: Path, offset: int, data: bytes) -> None:
    with path.open("r+b") as stream:
        stream.seek(offset)
        stream.write(data)


def flip(path: Path, offset: int) -> None:
    """Turn one bit of one byte."""
    with path.open("r+b") as stream:
        stream.seek(offset)
        old = stream.read(1)[0]
        stream.seek(offset)
        stream.write(bytes([old ^ 1]))
