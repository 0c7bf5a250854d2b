"""The ext4 verdict over features and ordinary lives: every image is sound, and damage put into it is found."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from itertools import cycle
from pathlib import Path

import pytest

from hornet.errors import Ext4Error
from hornet.formats.ext4.checker import newest_e2fsck
from hornet.formats.ext4.verdict import judge_ext4
from tests.support import ext4_matrix as matrix
from tests.support.ext4_samples import debugfs, first_block, loop_devices_work, overwrite

_damages: Iterator[tuple[str, str]] = cycle(matrix.DAMAGES.items())


@pytest.mark.parametrize("features", matrix.FEATURES)
def test_sound_images_are_sound_and_their_damage_is_found(features: str, tmp_path: Path) -> None:
    """What this host's kernel or e2fsprogs refuses is left out, but never mkfs itself."""
    new = matrix.make(features, tmp_path / "new.ext4")
    assert judge_ext4(new, tmp_path).sound
    wrong = []
    for life in matrix.lives_of(features):
        image = Path(shutil.copyfile(new, tmp_path / "image.ext4"))
        try:
            matrix.LIVES[life](image)
        except AssertionError:
            continue
        wrong += judged_wrongly(features, life, image, tmp_path)
    assert wrong == []


def judged_wrongly(features: str, life: str, image: Path, work: Path) -> list[str]:
    if (features, life) in matrix.IN_USE:
        with pytest.raises(Ext4Error, match="in use by"):
            judge_ext4(image, work)
        return []
    verdict = judge_ext4(image, work)
    wrong = [] if verdict.sound else [f"{life}: {verdict.findings}"]
    if not verdict.journal_replayed:  # a replay would undo the damage
        name, command = next(_damages)
        debugfs(image, command)
        wrong += [f"{life}: {name} is not found"] if judge_ext4(image, work).sound else []
    return wrong


@pytest.mark.parametrize("features", matrix.THOROUGH)
def test_every_life_of_the_matrix_can_be_had(features: str, tmp_path: Path) -> None:
    """Otherwise a host on which nothing can be mounted would call everything right."""
    # Asked here, not in a decorator: `hornetos guide` collects the tests as a user without /usr/sbin in PATH.
    if not loop_devices_work():
        pytest.skip("not judged: this host has no loop devices")
    for life in matrix.lives_of(features):
        matrix.LIVES[life](matrix.make(features, tmp_path / "image.ext4"))


def test_damage_that_only_a_newer_e2fsck_knows_is_found(tmp_path: Path) -> None:
    """A directory that claims to hold an extended attribute: 1.47.0 finds nothing."""
    if newest_e2fsck().version < (1, 47, 1):
        pytest.skip("not judged: needs e2fsprogs 1.47.1 on this host or in HORNET_HOME")
    image = matrix.make("ea_inode", tmp_path / "image.ext4")
    debugfs(image, "set_inode_field /d flags 0x280000")
    assert not judge_ext4(image, tmp_path).sound


@pytest.mark.timeout(300)  # less than that wait
def test_a_long_wait_for_other_hosts_is_not_begun(tmp_path: Path) -> None:
    image = matrix.make("mmp", tmp_path / "image.ext4")
    overwrite(image, 1024 + 0x166, (300).to_bytes(2, "little"))
    with pytest.raises(Ext4Error, match="would wait 601 s"):
        judge_ext4(image, tmp_path)


def test_an_unknown_feature_is_not_damage(tmp_path: Path) -> None:
    image = matrix.make("^metadata_csum", tmp_path / "image.ext4")
    overwrite(image, 1024 + 0x60 + 3, b"\x40")
    with pytest.raises(Ext4Error, match=r"incompatible 0x40000000 \(needs an e2fsprogs later than 1\.47"):
        judge_ext4(image, tmp_path)


def test_a_journal_on_another_device_is_not_damage(tmp_path: Path) -> None:
    """The journal's inode is none, its device's UUID is one."""
    image = matrix.make("^metadata_csum", tmp_path / "image.ext4")
    overwrite(image, 1024 + 0xE0, bytes(4))
    overwrite(image, 1024 + 0xD0, b"another journal!")
    with pytest.raises(Ext4Error, match="its journal is on another device"):
        judge_ext4(image, tmp_path)


def test_a_journal_of_the_future_is_not_damage(tmp_path: Path) -> None:
    """An unknown incompatible feature in its superblock, at 0x28."""
    image = matrix.make("ext3", tmp_path / "image.ext4")
    overwrite(image, first_block(image, "<8>") * 1024 + 0x28, b"\xff" * 4)
    with pytest.raises(Ext4Error, match=r"it cannot be judged: e2fsck .*unknown incompatible feature"):
        judge_ext4(image, tmp_path)


def test_damage_in_a_file_system_without_lost_and_found_is_found(tmp_path: Path) -> None:
    """e2fsck's log ends there, so that it is looked at in another way."""
    for name, command in matrix.DAMAGES.items():
        image = matrix.make("orphan_file", tmp_path / "image.ext4")
        matrix.without_lost_and_found(image)
        debugfs(image, command)
        assert not judge_ext4(image, tmp_path).sound, name


def test_a_missing_lost_and_found_is_a_remark(tmp_path: Path) -> None:
    image = matrix.make("as this host makes them", tmp_path / "image.ext4")
    debugfs(image, "rmdir lost+found")
    verdict = judge_ext4(image, tmp_path)
    assert (verdict.findings, verdict.remarks) == ([], ["it has no /lost+found"])


@pytest.mark.parametrize("language", ["de", "fr:de", "C"])
def test_no_language_changes_a_verdict(language: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LANGUAGE", language)
    monkeypatch.setenv("LC_ALL", "C.UTF-8")
    image = matrix.make("orphan_file", tmp_path / "image.ext4")
    assert judge_ext4(image, tmp_path).sound
    debugfs(image, "clri /d/file5")
    assert "deleted inode referenced" in str(judge_ext4(image, tmp_path).findings)
