"""The ext4 verdict on real images: sound ones pass untouched, damage is named, what can't be judged is refused."""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import BinaryIO

import pytest
from typer.testing import CliRunner, Result

from hornet.checks.guest_disk import log_problems, walk_problems
from hornet.errors import Ext4Error
from hornet.formats.ext4.examine import run_e2fsck
from hornet.formats.ext4.superblock import read_superblock
from hornet.formats.ext4.symptoms import log_symptoms, rule_for
from hornet.formats.ext4.verdict import Ext4Verdict, judge_ext4
from hornet.host.artifact_store import file_sha256
from hornet.host.file_copy import copy_into
from hornet.vm.probes import ProbeResult, ProbeResults
from hornet_cli.app import app
from tests.support import ext4_samples as samples
from tests.support.private_mounts import mounted_here


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An image that no test changes."""
    return samples.make_image(tmp_path_factory.mktemp("ext4") / "clean.ext4")


@pytest.fixture
def image(clean: Path, tmp_path: Path) -> Path:
    """A copy to damage."""
    return Path(shutil.copyfile(clean, tmp_path / "rootfs.ext4"))


def kinds(verdict: Ext4Verdict) -> set[str]:
    return {finding.rule.kind for finding in verdict.findings}


def cli(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, ["ext4", *map(str, arguments)])


def test_a_sound_image_is_sound_and_stays_as_it_is(clean: Path, tmp_path: Path) -> None:
    before = file_sha256(clean), clean.stat().st_mtime_ns
    verdict = judge_ext4(clean, tmp_path)
    assert verdict.sound, verdict.findings
    assert not verdict.journal_replayed
    assert (file_sha256(clean), clean.stat().st_mtime_ns) == before
    assert list(tmp_path.iterdir()) == [], "the throw-away copy is gone"


def test_the_disk_of_a_running_vm_is_sound(image: Path, tmp_path: Path) -> None:
    live = samples.live_copy(image, tmp_path / "live.ext4")
    guide = subprocess.run(["e2fsck", "-fn", live], capture_output=True, check=False)
    assert guide.returncode == 4, "a read-only check calls it damaged: it leaves the journal out"
    before = file_sha256(live)
    verdict = judge_ext4(live, tmp_path)
    assert verdict.sound, verdict.findings
    assert verdict.journal_replayed
    assert file_sha256(live) == before
    assert read_superblock(live).needs_recovery


@pytest.mark.parametrize("ahead", [timedelta(hours=3), timedelta(days=9999)], ids=["hours", "years"])
def test_guest_clock_ahead_is_not_damage(ahead: timedelta, image: Path, tmp_path: Path) -> None:
    when = (datetime.now(UTC) + ahead).strftime("%Y%m%d%H%M%S")
    samples.debugfs(image, f"set_super_value mtime {when}", f"set_super_value wtime {when}")
    verdict = judge_ext4(image, tmp_path)
    assert verdict.sound, verdict.findings


def test_inefficiently_stored_file_is_not_damage(image: Path, tmp_path: Path) -> None:
    with samples.mounted(image) as root, (root / "holes").open("wb") as stream:
        for number in range(400):
            stream.seek(number * 2 * samples.BLOCK)
            stream.write(b"x")
        stream.flush()
        os.fsync(stream.fileno())
        for number in range(397):
            samples.run("fallocate", "-p", "-o", number * 2 * samples.BLOCK, "-l", samples.BLOCK, root / "holes")
    copy = shutil.copyfile(image, tmp_path / "copy.ext4")
    said = subprocess.run(["e2fsck", "-fy", copy], capture_output=True, text=True, check=False).stdout
    assert "could be shorter" in said
    verdict = judge_ext4(image, tmp_path)
    assert verdict.sound, verdict.findings


def test_a_mount_leaves_its_traces_in_the_superblock(image: Path) -> None:
    sealed = read_superblock(image)
    with samples.mounted(image) as root:
        (root / "new").write_text("new")
    changes = " ".join(read_superblock(image).changes_from(sealed))
    assert "mount_count 1, sealed 0" in changes
    assert f"last_mounted_on {str(root)!r}, sealed ''" in changes


def garbage(name: str, length: int) -> Callable[[Path], None]:
    def damage(image: Path) -> None:
        samples.overwrite(image, samples.structures(image)[name] + 512, random.Random(2).randbytes(length))

    return damage


def error_note(image: Path) -> None:
    """As the kernel leaves it: the count at 0x194, s_first_error_func at 0x1a8; the checksum by debugfs."""
    samples.overwrite(image, 1024 + 0x194, (3).to_bytes(4, "little"))
    samples.overwrite(image, 1024 + 0x1A8, b"ext4_lookup\0")
    samples.debugfs(image, "set_super_value mnt_count 1")


Damage = Callable[[Path], object]
DAMAGE: dict[str, tuple[Damage, str]] = {
    "a file's inode cleared": (lambda image: samples.debugfs(image, "clri /d5/sub/file"), "deleted inode referenced"),
    "two files on the same blocks": (lambda image: samples.debugfs(image, "copy_inode /big /other"), "blocks claimed"),
    "an inode marked free": (lambda image: samples.debugfs(image, "freei /d5/sub/file"), "inode bitmap wrong"),
    "blocks marked free": (lambda image: samples.debugfs(image, "freeb 700 50"), "block bitmap wrong"),
    "a name removed, its inode kept": (
        lambda image: samples.debugfs(image, "unlink /d5/sub/file"),
        "link counts wrong",
    ),
    "garbage in the inode bitmap": (garbage("inode bitmap", 64), "inode bitmap wrong"),
    "garbage in the block bitmap": (garbage("block bitmap", 64), "block bitmap wrong"),
    "garbage in the inode table": (garbage("inode table", 900), "inode"),
    "garbage in the root directory": (garbage("root directory", 64), "directory broken"),
    "a truncated copy": (lambda image: os.truncate(image, 5 << 20), "truncated"),
    "a flipped bit in the superblock": (lambda image: samples.flip(image, 1024 + 0x178), "superblock or groups broken"),
    "an error that the kernel noted": (error_note, "errors noted by the kernel"),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_damage_is_found_and_named(name: str, image: Path, tmp_path: Path) -> None:
    damage, kind = DAMAGE[name]
    damage(image)
    before = file_sha256(image)
    verdict = judge_ext4(image, tmp_path)
    assert any(kind in found for found in kinds(verdict)), verdict.findings
    assert "other" not in kinds(verdict), verdict.findings
    assert file_sha256(image) == before


def test_nothing_that_e2fsck_finds_read_only_is_missed(clean: Path, tmp_path: Path) -> None:
    places = samples.structures(clean)
    chance = random.Random(3)
    found = {"-n": 0, "-fn": 0, "verdict": 0}
    for number in range(40):
        damaged = Path(shutil.copyfile(clean, tmp_path / "damaged.ext4"))
        place = chance.choice(sorted(places))
        samples.overwrite(damaged, places[place] + chance.randrange(900), chance.randbytes(chance.choice([1, 8, 100])))
        sound = judge_ext4(damaged, tmp_path).sound
        found["verdict"] += not sound
        for option in ("-n", "-fn"):
            complains = subprocess.run(["e2fsck", option, damaged], capture_output=True, check=False).returncode != 0
            found[option] += complains
            assert not (complains and sound), f"damage {number} in the {place}: e2fsck {option} finds it"
    assert found["verdict"] >= found["-fn"] > found["-n"], found


@pytest.mark.requirement("corruption-symptoms")
@pytest.mark.parametrize(
    ("message", "kind"),
    [
        # The guide's four symptoms.
        ("EXT4-fs error: deleted inode referenced: 24593", "deleted inode referenced"),
        ("EXT4-fs error: structure needs cleaning", "structure needs cleaning"),
        ("e2fsck: Inode bitmap differences", "inode bitmap wrong"),
        ("Free inodes count wrong for group #3", "free counts wrong"),
        # The kernel's own words.
        (
            "EXT4-fs error (device vda): ext4_lookup:1785: inode #2: comm ls: deleted inode referenced: 12",
            "deleted inode",
        ),
        (
            "EXT4-fs error (device vda): ext4_read_inode_bitmap:203: Corrupt inode bitmap - block_group = 0",
            "inode bitmap",
        ),
        ("EXT4-fs error (device vda): ext4_validate_block_bitmap:399: bg 0: bad block bitmap checksum", "block bitmap"),
        ("EXT4-fs (vda): Delayed block allocation failed for inode 12 with max blocks 1 with error 117", "lost writes"),
        ("EXT4-fs error (device vda): ext4_find_extent:936: pblk 9 bad header/extent: invalid magic", "inode broken"),
        ("EXT4-fs (vda): Remounting filesystem read-only", "read-only"),
        ("sh: can't create /etc/x: Structure needs cleaning", "structure needs cleaning"),
        ("Multiply-claimed block(s) in inode 12: 500", "blocks claimed twice"),
    ],
)
def test_messages_are_known(message: str, kind: str) -> None:
    assert kind in rule_for(message).kind


def test_a_log_is_searched_for_damage_only() -> None:
    log = """
    [    0.3] EXT4-fs (vda): mounted filesystem with ordered data mode. Quota mode: none.
    [    0.4] EXT4-fs (vda): recovery complete
    [    0.5] tcp: bad checksum of a directory service, remounting filesystem read-only
    """
    assert log_symptoms(log) == []
    found = log_symptoms(log + "[ 9.1] EXT4-fs error (device vda): something that nobody has seen before")
    assert [finding.rule.kind for finding in found] == ["other"]


def unjudged_text(path: Path) -> None:
    path.write_text("not an image\n" * 1000)


UNJUDGED: dict[str, tuple[Damage, str]] = {
    "missing": (lambda path: None, "no such file"),
    "empty": (lambda path: path.touch(), "too short for ext4"),
    "something else": (unjudged_text, "not ext4"),
    "a directory": (lambda path: path.mkdir(), "expected a regular file"),
    "a fifo": (lambda path: os.mkfifo(path), "expected a regular file"),
}


@pytest.mark.parametrize("name", UNJUDGED)
def test_non_ext4_file_is_rejected(name: str, tmp_path: Path) -> None:
    make, why = UNJUDGED[name]
    path = tmp_path / "file"
    make(path)
    with pytest.raises(Ext4Error, match=why):
        judge_ext4(path, tmp_path)


def test_timeout_is_not_a_verdict(clean: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # The real one is sometimes done before anybody looks at the clock.
    slow = tmp_path / "e2fsck"
    slow.write_text("#!/bin/sh\nexec sleep 60\n")
    slow.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    with clean.open("rb") as image, pytest.raises(Ext4Error, match="timed out after"):
        run_e2fsck(image.fileno(), ["e2fsck", "-fy"], time_limit_s=0.1)


def test_an_image_that_is_written_to_is_not_judged(
    image: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def copy_while_written(reader: BinaryIO, writer: BinaryIO) -> None:
        copy_into(reader, writer)
        os.utime(image, ns=(1, 1))

    # Another thread or process might not get its turn during so short a copy.
    monkeypatch.setattr("hornet.formats.ext4.verdict.copy_into", copy_while_written)
    with pytest.raises(Ext4Error, match="changed during the copy"):
        judge_ext4(image, tmp_path)


def test_full_disk_is_not_a_verdict(clean: Path, tmp_path: Path) -> None:
    small = tmp_path / "small"
    small.mkdir()
    with (
        mounted_here(small, "-t", "tmpfs", "-o", "size=256k", "tmpfs"),
        pytest.raises(Ext4Error, match="No space left"),
    ):
        judge_ext4(clean, small)


def test_unreadable_image_is_not_a_verdict(image: Path, tmp_path: Path) -> None:
    image.chmod(0)
    os.seteuid(65534)
    try:
        with pytest.raises(Ext4Error, match="Permission denied"):
            judge_ext4(image, tmp_path)
    finally:
        os.seteuid(0)


def test_the_command_says_it_by_its_exit_code(clean: Path, image: Path, tmp_path: Path) -> None:
    sound = cli(clean)
    assert (sound.exit_code, "sound" in sound.output) == (0, True), sound.output
    samples.debugfs(image, "clri /d5/sub/file")
    damaged = cli(image)
    assert damaged.exit_code == 1
    assert "DAMAGED" in damaged.output
    assert "next: do not repair it" in damaged.output
    assert isinstance(cli(tmp_path / "missing").exception, Ext4Error)


def test_the_command_says_it_in_json(clean: Path, image: Path, tmp_path: Path) -> None:
    assert json.loads(cli("--json", clean).output)["verdict"] == "sound"
    samples.debugfs(image, "clri /d5/sub/file")
    damaged = cli("--json", image)
    assert damaged.exit_code == 1
    found = json.loads(damaged.output)
    assert found["verdict"] == "damaged"
    assert "deleted inode referenced" in [finding["kind"] for finding in found["findings"]]
    missing = cli("--json", tmp_path / "missing")
    assert missing.exit_code == 2
    assert json.loads(missing.output)["verdict"] == "not judged"


def guest_facts(log: str, walk_exit_code: int = 0, log_exit_code: int = 0) -> ProbeResults:
    return ProbeResults([ProbeResult("disk.walk", walk_exit_code, ""), ProbeResult("disk.log", log_exit_code, log)])


def test_a_guest_that_sees_damage_is_rejected() -> None:
    assert log_problems(guest_facts("EXT4-fs (vda): recovery complete")) == []
    seen = log_problems(guest_facts("EXT4-fs error (device vda): ext4_lookup: deleted inode referenced: 12"))
    assert len(seen) == 1
    assert "deleted inode referenced" in seen[0]
    assert "walking all files failed" in walk_problems(guest_facts("", walk_exit_code=1))[0]
    assert "can't be read" in log_problems(guest_facts("", log_exit_code=1))[0]
