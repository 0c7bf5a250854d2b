"""A power cut: the backing file of a mounted ext4 is copied, unsynced, and the copy is what the disk would hold.

Whatever the file system had in memory only is lost in the copy; its journal is replayed by the mount.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from hornet.host import in_use
from hornet.host.artifact_store import Store
from hornet.host.workspace import Workspace
from hornet.installation import SOURCE
from hornet.snapshot import open_bundle, production
from tests.support import ext4_samples
from tests.support.bundle_samples import NAMES

SEED = int(os.environ.get("HORNET_TEST_SEED", "20261126"))
CUTS = 6
SIZE_MIB = 48
# Builds artifact after artifact, publishes a snapshot, switches production. UNSYNCED: as if nothing were synced.
WORK = """
import os, sys
from pathlib import Path
from tests.support.bundle_samples import NAMES, ORIGIN, fill
from hornet.host import durable
from hornet.host.workspace import Workspace
from hornet.snapshot import open_bundle, publishing, switch_production
from hornet.host.artifact_store import Store

root, first, last = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
if "UNSYNCED" in os.environ:
    durable.sync_tree = durable.sync = os.fsync = lambda *_: None
home = Workspace(root)

def build(number):
    def fill(work):
        (work / "vmlinux").write_bytes(bytes([number % 251]) * 300_000)
        for name in range(number % 3 * 60):
            (work / f"part{name}").write_text(str(number))
    return fill

for number in range(first, last):
    made = Store(home).get_or_build("kernel", {"number": number}, build(number))
    with publishing(home.snapshots / f"v{number}", NAMES) as bundle:
        fill(bundle)
        os.truncate(bundle.memory, 50_000)
        bundle.seal(f"v{number}", ORIGIN)
    switch_production(home, open_bundle(home.snapshots / f"v{number}", NAMES))
    print(number, flush=True)
sys.stdin.read()
"""


@contextmanager
def worker(root: Path, first: int, last: int, **environment: str) -> Iterator[subprocess.Popen[str]]:
    argv = [sys.executable, "-c", WORK, str(root), str(first), str(last)]
    settings = {**os.environ, "PYTHONPATH": str(SOURCE), **environment}
    with subprocess.Popen(argv, cwd=SOURCE, env=settings, stdin=-1, stdout=-1, text=True) as process:
        yield process
        process.kill()


def cut_power(image: Path, copy: Path) -> Path:
    """What the disk holds at this moment; copied until it is the same twice, as a kernel thread may be writing."""
    for _ in range(20):
        shutil.copyfile(image, copy)
        if subprocess.run(["cmp", "-s", image, copy], check=False).returncode == 0:
            return copy
    pytest.fail("the disk is never at rest")


@contextmanager
def disk_after(copy: Path) -> Iterator[Path]:
    """The file system after a power cut. What this process used on it would keep it busy."""
    with ext4_samples.mounted(copy) as disk:
        try:
            yield disk
        finally:
            in_use.release_below(disk)


def kernel_of(number: int) -> bytes:
    return bytes([number % 251]) * 300_000


def no_build(work: Path) -> None:
    raise AssertionError("was built again")


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "disk"
    with path.open("wb") as stream:
        stream.truncate(SIZE_MIB << 20)
    ext4_samples.run("mkfs.ext4", "-q", "-F", "-b", "4096", "-J", "size=4", path)
    return path


def test_what_is_published_is_whole_after_a_power_cut(image: Path, tmp_path: Path) -> None:
    with ext4_samples.mounted(image) as disk, worker(disk, 1, 3) as process:
        assert process.stdout
        assert [process.stdout.readline() for _ in range(2)] == ["1\n", "2\n"]
        after = cut_power(image, tmp_path / "after")
    with disk_after(after) as disk:
        workspace = Workspace(disk)
        for number in (1, 2):
            artifact = Store(workspace).get_or_build("kernel", {"number": number}, no_build)
            assert (artifact / "vmlinux").read_bytes() == kernel_of(number)
            open_bundle(workspace.snapshots / f"v{number}", NAMES).check_full()
        assert production(workspace, NAMES) == disk.resolve() / "snapshots/v2"


def test_power_cut_without_syncing_empties_files_and_is_noticed(image: Path, tmp_path: Path) -> None:
    """The control: the test above would fail without syncing."""
    with ext4_samples.mounted(image) as disk, worker(disk, 1, 2, UNSYNCED="1") as process:
        assert process.stdout
        assert process.stdout.readline() == "1\n"
        # Another program has its own file synced: the journal brings the names to the disk, not the content.
        other = disk / "other"
        other.touch()
        fd = os.open(other, os.O_RDONLY)
        os.fsync(fd)
        os.close(fd)
        after = cut_power(image, tmp_path / "after")
    with disk_after(after) as disk:
        [vmlinux] = disk.glob("build/kernel/*/vmlinux")
        assert vmlinux.stat().st_size == 0, "as it was before files were synced"
        said: list[str] = []
        built: list[Path] = []
        Store(Workspace(disk), said.append).get_or_build("kernel", {"number": 1}, built.append)
        assert len(built) == 1
        assert "rebuilt" in said[0]


@pytest.mark.parametrize("number", range(CUTS))
def test_a_power_cut_at_any_moment_leaves_whole_things_or_none(number: int, image: Path, tmp_path: Path) -> None:
    chance = random.Random(f"{SEED} {number}")
    with ext4_samples.mounted(image) as disk, worker(disk, 1, 25) as process:
        assert process.stdout
        process.stdout.readline()
        time.sleep(chance.uniform(0, 0.3))
        process.send_signal(signal.SIGSTOP)
        after = cut_power(image, tmp_path / "after")
    with disk_after(after) as disk:
        workspace = Workspace(disk)
        workspace.remove_abandoned()
        assert not list(disk.glob("*/*/*.tmp-*"))
        assert not list(disk.glob("*/.*.tmp-*"))
        artifacts = [path for path in disk.glob("build/kernel/*") if path.is_dir()]
        assert artifacts, f"HORNET_TEST_SEED={SEED}"
        for artifact in range(1, 25):
            store = Store(workspace)
            if store.path("kernel", {"number": artifact}).exists():
                found = store.get_or_build("kernel", {"number": artifact}, no_build)
                assert (found / "vmlinux").read_bytes() == kernel_of(artifact)
        for snapshot in workspace.snapshots.glob("v*"):
            open_bundle(snapshot, NAMES).check_full()
        used = production(workspace, NAMES)
        assert used
        assert used.is_dir()
