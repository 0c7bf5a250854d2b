"""Bad snapshots: whatever is wrong is refused by name, and nothing is lost."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest

from hornet.checks.snapshot_files import part_problems
from hornet.errors import HornetError, SnapshotError
from hornet.host.file_copy import clone_file
from hornet.host.progress import Progress
from hornet.installation import SOURCE
from hornet.snapshot import Bundle, open_bundle, publishing
from hornet.snapshot.bundle import STAT_FILE, UNSEALED_WARNING
from hornet.snapshot.manifest import MANIFEST_FILE
from tests.support import bundle_samples, ext4_samples
from tests.support.bundle_samples import NAMES
from tests.support.private_mounts import mounted_here

FILES = (NAMES.rootfs_file, NAMES.memory_file, NAMES.state_file)


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """A snapshot that no test changes."""
    return bundle_samples.make_bundle(tmp_path_factory.mktemp("bundles") / "v1.0")


@pytest.fixture
def bundle(original: Bundle, tmp_path: Path) -> Bundle:
    """A copy to damage, its seal proved here."""
    copy = Bundle(Path(shutil.copytree(original.directory, tmp_path / "v1.0")), NAMES)
    copy.check_seal()
    return copy


def both_seals_refuse(bundle: Bundle, why: str) -> None:
    with pytest.raises(SnapshotError, match=why):
        bundle.check_seal()
    with pytest.raises(SnapshotError, match=why):
        bundle.check_full()


def test_unchanged_snapshot_passes_after_copy_or_move(bundle: Bundle, tmp_path: Path) -> None:
    bundle.check_seal()
    bundle.check_full()
    moved = Bundle(bundle.directory.rename(tmp_path / "another name"), NAMES)
    moved.check_seal()
    assert open_bundle(moved.directory, NAMES).manifest().version == "v1.0"


def test_cheap_seal_does_not_read_files_with_unchanged_stat(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object) -> str:
        raise AssertionError("the cheap seal hashed a file")

    monkeypatch.setattr("hornet.snapshot.bundle.file_sha256", refuse)
    bundle.check_seal()
    os.utime(bundle.memory)
    with pytest.raises(AssertionError, match="hashed"):
        bundle.check_seal()


def test_restore_of_a_checked_copy_reads_no_file(
    bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copies = []
    for make in (bundle.copied_to, bundle.checked_copy):
        (tmp_path / make.__name__).mkdir()
        copies.append(make(tmp_path / make.__name__))
    monkeypatch.setattr(Bundle, "_check_hashes", Mock(side_effect=AssertionError("it reads all of the files")))
    with pytest.raises(AssertionError, match="reads all"):
        copies[0].check_seal()
    copies[1].check_seal()


@pytest.mark.parametrize("name", FILES)
def test_a_flipped_bit_is_named(name: str, bundle: Bundle) -> None:
    path = bundle.directory / name
    times = path.stat().st_atime_ns, path.stat().st_mtime_ns
    ext4_samples.flip(path, path.stat().st_size // 2)
    os.utime(path, ns=times)
    both_seals_refuse(bundle, rf"content changed after .*\n.*{name}: SHA-256")


@pytest.mark.parametrize("name", FILES)
def test_a_truncated_file_is_named(name: str, bundle: Bundle) -> None:
    path = bundle.directory / name
    size = path.stat().st_size
    os.truncate(path, size - 1)
    both_seals_refuse(bundle, rf"{name}: {size - 1} bytes, sealed with {size}")
    os.truncate(path, 0)
    both_seals_refuse(bundle, rf"{name}: empty")


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_a_link_and_a_device_are_named(name: str, bundle: Bundle, tmp_path: Path) -> None:
    path = bundle.directory / name
    elsewhere = path.rename(tmp_path / "elsewhere")
    both_seals_refuse(bundle, rf"{name}: missing")
    path.symlink_to(elsewhere)
    both_seals_refuse(bundle, rf"{name}: not a regular file")
    path.unlink()
    os.mkfifo(path)
    both_seals_refuse(bundle, rf"{name}: not a regular file")


@pytest.mark.requirement("files-atomic")
@pytest.mark.parametrize("name", FILES)
def test_file_of_another_version_is_rejected(name: str, bundle: Bundle, tmp_path: Path) -> None:
    other = bundle_samples.make_bundle(tmp_path / "v2.0", seed=3)
    shutil.copyfile(other.directory / name, bundle.directory / name)
    both_seals_refuse(bundle, name)


@pytest.mark.requirement("rootfs-never-changed")
def test_mount_on_the_host_is_reported_with_time_and_place(bundle: Bundle) -> None:
    with ext4_samples.mounted(bundle.rootfs) as root:
        (root / "big").unlink()
    both_seals_refuse(bundle, r"mount_count 2, sealed 1")
    with pytest.raises(SnapshotError, match=rf"last mounted {time.strftime('%Y-%m-%d', time.gmtime())}") as refusal:
        bundle.check_seal()
    assert "rootfs.ext4: changed after the snapshot was sealed" in refusal.value.message
    assert "the golden rule" in refusal.value.hint
    assert "new-version" in refusal.value.hint


def test_a_mount_that_changes_nothing_else_is_found(bundle: Bundle) -> None:
    with ext4_samples.mounted(bundle.rootfs):
        pass
    both_seals_refuse(bundle, "mount_count 2, sealed 1")


def test_a_file_removed_by_debugfs_is_found(bundle: Bundle) -> None:
    ext4_samples.debugfs(bundle.rootfs, "rm /big")
    both_seals_refuse(bundle, r"free_inodes_count \d+, sealed \d+")


def test_a_repair_by_e2fsck_is_found(bundle: Bundle) -> None:
    ext4_samples.run("e2fsck", "-fy", bundle.rootfs)
    both_seals_refuse(bundle, "changed after the snapshot was sealed")


def edit(change: Callable[[dict[str, Any]], object]) -> Callable[[Path], None]:
    def rewrite(path: Path) -> None:
        data = json.loads(path.read_text())
        change(data)
        path.write_text(json.dumps(data))

    return rewrite


MANIFEST_EDITS = {
    "a hash": (edit(lambda data: data["files"][NAMES.memory_file].update(sha256="0" * 64)), "edited by hand"),
    "the memory size": (edit(lambda data: data["origin"].update(memory_mib=512)), "edited by hand"),
    "an unknown key": (edit(lambda data: data.update(note="fine")), "note: Extra inputs"),
    "a key taken out": (edit(lambda data: data.pop("superblock")), "superblock: Field required"),
    "another format": (edit(lambda data: data.update(format=1)), "format: Input should be 2"),
    "not JSON": (lambda path: path.write_text("{"), "not valid JSON"),
    "not text": (lambda path: path.write_bytes(bytes(range(256))), "not UTF-8"),
    "empty": (lambda path: path.write_text(""), "not valid JSON"),
    "gone": (lambda path: path.unlink(), "never sealed"),
    "a directory": (lambda path: (path.unlink(), path.mkdir()), "a directory, expected a regular file"),
}


@pytest.mark.parametrize("name", MANIFEST_EDITS)
def test_manifest_edited_after_sealing_is_rejected(name: str, bundle: Bundle) -> None:
    change, why = MANIFEST_EDITS[name]
    change(bundle.directory / MANIFEST_FILE)
    both_seals_refuse(bundle, rf"{MANIFEST_FILE}.*{why}")


def test_manifest_of_another_snapshot_is_rejected(bundle: Bundle, tmp_path: Path) -> None:
    other = bundle_samples.make_bundle(tmp_path / "v2.0", seed=3)
    shutil.copyfile(other.directory / MANIFEST_FILE, bundle.directory / MANIFEST_FILE)
    both_seals_refuse(bundle, NAMES.rootfs_file)


@pytest.mark.parametrize("content", ["", "{", "[]", '{"rootfs.ext4": [1, 2, 3, 4]}'])
def test_a_wrong_note_of_stat_makes_the_hashes_decide(content: str, bundle: Bundle) -> None:
    (bundle.directory / STAT_FILE).write_text(content)
    bundle.check_seal()
    ext4_samples.flip(bundle.memory, 5)
    (bundle.directory / STAT_FILE).write_text(content)
    both_seals_refuse(bundle, NAMES.memory_file)


def test_full_seal_detects_bit_rot_under_an_unchanged_inode(original: Bundle, tmp_path: Path) -> None:
    """The host's disk loses a bit: stat does not change, and neither does the superblock."""
    host_disk = ext4_samples.make_image(tmp_path / "host.ext4", size_mib=48)
    with ext4_samples.mounted(host_disk) as root:
        kept = Bundle(Path(shutil.copytree(original.directory, root / "v1.0")), NAMES)
        kept.check_seal()
    block = ext4_samples.first_block(host_disk, f"/v1.0/{NAMES.memory_file}")
    ext4_samples.flip(host_disk, block * ext4_samples.BLOCK)
    with ext4_samples.mounted(host_disk) as root:
        kept = Bundle(root / "v1.0", NAMES)
        kept.check_seal()
        with pytest.raises(SnapshotError, match=f"{NAMES.memory_file}: SHA-256"):
            kept.check_full()


@pytest.mark.parametrize("closed", ["v1.0", "."])
def test_an_unreadable_directory_is_named(closed: str, bundle: Bundle) -> None:
    with tempfile.TemporaryDirectory() as reachable:
        Path(reachable).chmod(0o755)
        directory = Path(shutil.copytree(bundle.directory, Path(reachable, "v1.0")))
        Path(reachable, closed).chmod(0)
        os.seteuid(65534)
        try:
            with pytest.raises(SnapshotError, match=rf"{directory}.*: Permission denied"):
                open_bundle(directory, NAMES)
        finally:
            os.seteuid(0)


@pytest.mark.parametrize("make", [lambda path: None, lambda path: path.touch()])
def test_snapshot_that_is_not_a_directory_is_rejected(make: Callable[[Path], None], tmp_path: Path) -> None:
    make(tmp_path / "x")
    with pytest.raises(SnapshotError, match="not a directory"):
        open_bundle(tmp_path / "x", NAMES)


def test_disk_filling_during_a_copy_leaves_nothing_partial(bundle: Bundle, tmp_path: Path) -> None:
    small = tmp_path / "small"
    small.mkdir()
    with mounted_here(small, "-t", "tmpfs", "-o", "size=1m", "tmpfs"):
        with (
            pytest.raises(HornetError, match=r"copying .*rootfs\.ext4.*No space left") as refusal,
            publishing(small / "v3.0", NAMES) as new,
        ):
            clone_file(bundle.rootfs, new.rootfs)
        assert "free space" in refusal.value.hint
        assert [path.name for path in small.iterdir()] == [".v3.0.lock"]
    bundle.check_full()


def test_a_full_seal_shows_its_progress(bundle: Bundle) -> None:
    progress = Progress(io.StringIO())
    bundle.check_full(progress)
    assert progress._detail == "100 % of 19 MB"


def test_disabled_seal_check_prints_a_warning() -> None:
    argv = [sys.executable, "-m", "pytest", "-q", "--no-seal", "tests/selftest/test_facts.py"]
    done = subprocess.run(argv, cwd=SOURCE, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout
    assert UNSEALED_WARNING in done.stdout


def test_swapped_memory_and_state_files_are_rejected() -> None:
    assert part_problems(NAMES, memory_mib=256, memory_bytes=256 << 20, state_bytes=70_000) == []
    wrong = part_problems(NAMES, memory_mib=256, memory_bytes=70_000, state_bytes=256 << 20)
    assert len(wrong) == 2
    assert "vm.mem: 70000 bytes, expected 268435456: 256 MiB of guest memory" in wrong[0]
    assert "vm.snapshot: 268.4 MB, at most 1 MB" in wrong[1]
