"""What can happen to a snapshot's files, each done for real, and what each detector says of it.

The rows and the columns of the matrix in docs/snapshots.md.
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
from hornet.snapshot import Bundle
from hornet.snapshot.manifest import MANIFEST_FILE
from tests.support import ext4_samples as samples

DOCS = Path(__file__).resolve().parents[2] / "docs" / "snapshots.md"


@dataclass(frozen=True)
class Subject:
    """A copy of a snapshot to be changed. victim: the absolute path of a file in its image; other: another version."""

    bundle: Bundle
    other: Bundle
    victim: str


def flip_middle(path: Path) -> None:
    samples.flip(path, path.stat().st_size // 2)


def flip_data(it: Subject) -> None:
    samples.flip(it.bundle.rootfs, samples.first_block(it.bundle.rootfs, it.victim) * samples.BLOCK)


def flip_inode(it: Subject) -> None:
    """A bit of the root directory's inode: inode 2, 256 bytes each; its size in bytes is at 4."""
    samples.flip(it.bundle.rootfs, samples.structures(it.bundle.rootfs)["inode table"] + 256 + 4)


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
    "a bit flipped in an inode": flip_inode,
    "a bit flipped in vm.mem": lambda it: flip_middle(it.bundle.memory),
    "a bit flipped in vm.snapshot": lambda it: flip_middle(it.bundle.state),
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


def documented() -> dict[str, dict[str, set[str]]]:
    """The matrix of the docs: what may be found, by mutation and detector. `chance`: it depends on which bit it is."""
    lines = [line.strip().strip("|").split("|") for line in DOCS.read_text().splitlines() if line.startswith("| ")]
    rows = [[cell.strip() for cell in cells] for cells in lines]
    start = next(index for index, row in enumerate(rows) if row[0] == "mutation")
    detectors = rows[start][1:]
    return {
        row[0]: {
            name: set(re.sub(r"[¹²³⁴⁵⁶]", "", cell).split(" or "))
            for name, cell in zip(detectors, row[1:], strict=True)
        }
        for row in rows[start + 1 :]
        if row[0] in MUTATIONS
    }
