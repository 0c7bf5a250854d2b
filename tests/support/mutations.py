"""What can happen to a snapshot's files, each done for real, and what each detector says of it.

The rows and columns of snapshot_matrix.toml, which holds the outcome that each detector must have.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from hornet.errors import HornetError, SnapshotError
from hornet.formats.ext4.verdict import judge_ext4
from hornet.results.detection_matrix import MATRIX_FILE, load_matrix
from hornet.snapshot import Bundle
from hornet.snapshot.manifest import MANIFEST_FILE
from tests.support import ext4_samples as samples
from tests.support.bundle_samples import KERNEL_BANNER

MATRIX = load_matrix(MATRIX_FILE)
EXPECTED = {row.mutation: row for row in MATRIX.rows}


@dataclass(frozen=True)
class Subject:
    """A copy of a snapshot to be changed. victim: the absolute path of a file in its image; other: another version."""

    bundle: Bundle
    other: Bundle
    victim: str


def flip_data(it: Subject) -> None:
    samples.flip(it.bundle.rootfs, samples.first_block(it.bundle.rootfs, it.victim) * samples.BLOCK)


def flip_inode(it: Subject) -> None:
    """A bit of the root directory's inode: inode 2, 256 bytes each; its size in bytes is at 4."""
    samples.flip(it.bundle.rootfs, samples.structures(it.bundle.rootfs)["inode table"] + 256 + 4)


def flip_kernel_log(it: Subject) -> None:
    """A bit of every copy of the kernel's first message: `dmesg` then prints "Minux version"."""
    content = it.bundle.memory.read_bytes()
    places = [match.start() for match in re.finditer(KERNEL_BANNER, content)]
    assert places, f"{it.bundle.memory}: no {KERNEL_BANNER!r}"
    for place in places:
        samples.flip(it.bundle.memory, place)


def cut(path: Path, part: float = 0.5) -> None:
    os.truncate(path, int(path.stat().st_size * part))


def mount_only(it: Subject) -> None:
    with samples.mounted(it.bundle.rootfs):
        pass


def mount_read_only(it: Subject) -> None:
    with samples.mounted(it.bundle.rootfs, "loop,ro,noload"):
        pass


def wrong_approach(it: Subject) -> None:
    """The guide's own: mount, remove and add files, unmount."""
    with samples.mounted(it.bundle.rootfs) as root:
        (root / it.victim.lstrip("/")).unlink()
        for number in range(20):
            (root / f"added-{number}").write_text("added on the host\n" * 2000)


def repair(it: Subject) -> None:
    subprocess.run(["e2fsck", "-fy", it.bundle.rootfs], capture_output=True, check=False)


def rot(it: Subject) -> None:
    """As flip_data, but stat does not show it: the host's disk lost the bit, not a program."""
    flip_data(it)
    it.bundle._note_stats(it.bundle._stats())


def edit_manifest(it: Subject) -> None:
    path = it.bundle.directory / MANIFEST_FILE
    data = json.loads(path.read_text())
    data["origin"]["vmm_version"] = "0.0"
    path.write_text(json.dumps(data))


def replace_by_link(it: Subject) -> None:
    it.bundle.rootfs.rename(it.bundle.directory / "elsewhere")
    it.bundle.rootfs.symlink_to("elsewhere")


MUTATIONS: dict[str, Callable[[Subject], object]] = {
    "a bit flipped in a file's data": flip_data,
    "a bit flipped in the root directory's inode": flip_inode,
    "a bit flipped in the kernel's log in vm.mem": flip_kernel_log,
    "the first bit of vm.snapshot flipped": lambda it: samples.flip(it.bundle.state, 0),
    "a bit rotten on the host's disk": rot,
    "rootfs.ext4 cut in half": lambda it: cut(it.bundle.rootfs),
    "vm.mem cut in half": lambda it: cut(it.bundle.memory),
    "vm.snapshot cut in half": lambda it: cut(it.bundle.state),
    "rootfs.ext4 of another version": lambda it: shutil.copyfile(it.other.rootfs, it.bundle.rootfs),
    "mounted on the host and unmounted": mount_only,
    "mounted read-only, journal left out": mount_read_only,
    "mounted, files removed and added": wrong_approach,
    "debugfs -w rm": lambda it: samples.debugfs(it.bundle.rootfs, f"rm {it.victim}"),
    "repaired by e2fsck -fy": repair,
    "manifest edited by hand": edit_manifest,
    "a link in the place of rootfs.ext4": replace_by_link,
}


def cheap_seal(it: Subject) -> str:
    return _seal(it.bundle.check_seal)


def full_seal(it: Subject) -> str:
    return _seal(it.bundle.check_full)


def ext4_verdict(it: Subject, work: Path) -> str:
    try:
        return "sound" if judge_ext4(it.bundle.rootfs, work).sound else "damaged"
    except HornetError:
        return "not judged"


def _seal(check: Callable[[], object]) -> str:
    try:
        check()
    except SnapshotError:
        return "refused"
    return "silent"
