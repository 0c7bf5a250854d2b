"""The store notices whatever happened to an artifact, says so, and builds it again."""

from __future__ import annotations

import json
import os
import re
import shutil
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from hornet.errors import BuildError
from hornet.host.artifact_store import INPUTS_FILE, Store
from hornet.host.owned import Owned
from hornet.host.workspace import Workspace

INPUTS = {"recipe": 1, "names": ["a", "b"]}


class Builder:
    """Counts how often it builds, and what the store says of the reason."""

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace
        self.said: list[str] = []
        self.built = 0

    def __call__(self, work: Path) -> None:
        self.built += 1
        (work / "vmlinux").write_bytes(b"kernel" * 100)
        (work / "tree/etc").mkdir(parents=True)
        (work / "tree/etc/passwd").write_text("root:x:0:0\n")
        (work / "tree/link").symlink_to("etc/passwd")
        (work / "empty").mkdir()

    def get(self) -> Path:
        return Store(self.workspace, self.said.append).get_or_build("kernel", INPUTS, self)


@pytest.fixture
def builder(tmp_path: Path) -> Builder:
    return Builder(Workspace(tmp_path))


def edit_same_size(path: Path) -> None:
    path.write_bytes(path.read_bytes()[::-1])


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def replace_link(path: Path) -> None:
    path.unlink()
    path.symlink_to("etc/shadow")


DAMAGE: dict[str, tuple[str, Callable[[Path], object], str]] = {
    "a removed file": ("vmlinux", Path.unlink, "vmlinux is missing"),
    "a removed file of a tree": ("tree/etc/passwd", Path.unlink, "tree/etc/passwd is missing"),
    "a removed directory": ("empty", Path.rmdir, "empty is missing"),
    "a truncated file": ("vmlinux", lambda path: os.truncate(path, 100), "vmlinux has 100 bytes, had 600"),
    "a file without content": ("vmlinux", lambda path: os.truncate(path, 0), "vmlinux has 0 bytes, had 600"),
    "an edited file": ("vmlinux", edit_same_size, "vmlinux has different content"),
    "an added file": ("tree/new", Path.touch, "tree/new was added"),
    "another mode": ("tree/etc/passwd", lambda path: path.chmod(0o4755), "passwd has the mode -rwsr-xr-x, had -rw"),
    "a link to something else": ("tree/link", replace_link, "tree/link has different content"),
    "edited inputs": (INPUTS_FILE, lambda path: edit(path, '"recipe": 1', '"recipe": 2'), "names other inputs"),
    "no inputs": (INPUTS_FILE, Path.unlink, f"{INPUTS_FILE} is missing"),
    "inputs without content": (INPUTS_FILE, lambda path: os.truncate(path, 0), f"{INPUTS_FILE} is damaged"),
    "inputs of an older release": (INPUTS_FILE, lambda path: path.write_text(json.dumps(INPUTS)), "is damaged"),
    "other JSON": (INPUTS_FILE, lambda path: path.write_text("[1]"), f"{INPUTS_FILE} is damaged"),
}


def test_an_intact_artifact_is_reused(builder: Builder) -> None:
    first = builder.get()
    assert builder.get() == first
    assert (builder.built, builder.said) == (1, [])


@pytest.mark.parametrize("what", DAMAGE)
def test_damaged_artifact_is_rebuilt_with_a_message(what: str, builder: Builder) -> None:
    artifact = builder.get()
    path, damage, message = DAMAGE[what]
    damage(artifact / path)
    assert builder.get() == artifact
    assert builder.built == 2
    assert len(builder.said) == 1
    assert re.search(rf"kernel {artifact.name}: .*{message}.*rebuilt", builder.said[0]), builder.said
    builder.get()
    assert builder.built == 2
    assert [path.name for path in artifact.parent.iterdir() if path.suffix != ".lock"] == [artifact.name]


def test_a_copy_with_other_times_is_reused(builder: Builder) -> None:
    artifact = builder.get()
    os.utime(artifact / "vmlinux", (1, 1))
    builder.get()
    assert (builder.built, builder.said) == (1, [])


def test_a_link_in_the_place_of_an_artifact_is_not_followed(builder: Builder, tmp_path: Path) -> None:
    artifact = builder.get()
    elsewhere = tmp_path / "elsewhere"
    artifact.rename(elsewhere)
    artifact.symlink_to(elsewhere)
    assert builder.get() == artifact
    assert not artifact.is_symlink()
    assert (elsewhere / "vmlinux").exists()
    assert "it is not a directory" in builder.said[0]


def test_a_failed_build_leaves_its_logs_until_it_succeeds(builder: Builder) -> None:
    def fail(work: Path) -> None:
        (work / "build.log").write_text("error: no such file\n")
        raise BuildError("the compiler failed")

    with pytest.raises(BuildError, match="the compiler failed"):
        Store(builder.workspace).get_or_build("kernel", INPUTS, fail)
    [kept] = (builder.workspace.build / "kernel").glob("*.failed")
    assert (kept / "build.log").read_text() == "error: no such file\n"
    assert not list(kept.parent.glob("*.tmp-*"))
    builder.get()
    assert not kept.exists()


def test_a_deleted_lock_file_costs_work_and_nothing_else(builder: Builder) -> None:
    """Two builds of one artifact: the slower one uses the artifact of the faster one."""
    started, published = threading.Event(), threading.Event()

    def slow(work: Path) -> None:
        builder(work)
        started.set()
        published.wait(20)

    store = Store(builder.workspace, builder.said.append)
    found: list[Path] = []
    thread = threading.Thread(target=lambda: found.append(store.get_or_build("kernel", INPUTS, slow)))
    thread.start()
    started.wait(20)
    [lock] = (builder.workspace.build / "kernel").glob("*.lock")
    lock.unlink()
    artifact = builder.get()
    published.set()
    thread.join(20)
    assert found == [artifact]
    assert not list(artifact.parent.glob("*.tmp-*"))


def test_only_leftovers_of_killed_builds_are_removed(builder: Builder) -> None:
    parent = builder.workspace.directory("build", "rootfs")
    dead = parent / "0123456789abcdef.tmp-00000000"
    dead.mkdir()
    (dead / "rootfs.ext4").touch()
    with Owned.work_directory(parent, "fedcba9876543210") as alive:
        builder.workspace.remove_abandoned()
        assert not dead.exists()
        assert alive.path.is_dir()
    assert not alive.path.exists()


def test_planted_link_is_not_followed_during_cleanup(builder: Builder, tmp_path: Path) -> None:
    elsewhere = tmp_path.parent / f"{tmp_path.name}-elsewhere"
    (elsewhere / "x.tmp-00000000").mkdir(parents=True)
    (tmp_path / "run").symlink_to(elsewhere)
    builder.workspace.remove_abandoned()
    assert (elsewhere / "x.tmp-00000000").is_dir()
    shutil.rmtree(elsewhere)
