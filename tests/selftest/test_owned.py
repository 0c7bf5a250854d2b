"""Temporary things belong to a process while it lives, and to nobody after that; only nobody's are removed."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from hornet.errors import HostError
from hornet.host.owned import Owned, is_owned, remove_abandoned, work_directory
from hornet.host.workspace import Workspace
from hornet.installation import SOURCE
from hornet.network import VMIds
from hornet.network.ids import vms_directory
from hornet.vm.leftovers import remove_leftovers
from hornet.vm.state import VMState, running_vms
from tests.support.private_mounts import private_mounts

OWNER = """
import sys
from pathlib import Path
from hornet.host.owned import Owned
made = Owned.directory(Path(sys.argv[1]))
print("made", flush=True)
sys.stdin.read()
"""


@contextmanager
def owner(path: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that owns a directory."""
    argv = [sys.executable, "-c", OWNER, str(path)]
    environment = {**os.environ, "PYTHONPATH": str(SOURCE)}
    with subprocess.Popen(argv, env=environment, stdin=-1, stdout=-1, text=True) as process:
        assert process.stdout
        assert process.stdout.readline() == "made\n"
        yield process
        process.kill()


def test_a_directory_is_abandoned_when_its_owner_is_killed(tmp_path: Path) -> None:
    path = tmp_path / "work"
    with owner(path) as process:
        assert is_owned(path)
        assert not remove_abandoned(path)
        assert path.is_dir()
        process.kill()
        process.wait(10)
        assert not is_owned(path)
        assert remove_abandoned(path)
    assert not path.exists()


def test_a_file_that_a_living_vmm_has_locked_keeps_its_directory(tmp_path: Path) -> None:
    path = tmp_path / "vm1"
    path.mkdir()
    with Owned.file(path, "rootfs.ext4", 0o600):
        assert is_owned(path)
        assert not remove_abandoned(path)
    assert remove_abandoned(path)


def test_what_somebody_else_put_in_its_place_is_not_removed(tmp_path: Path) -> None:
    with work_directory(tmp_path, "image") as path:
        path.rename(tmp_path / "moved")
        path.mkdir()
    assert path.is_dir()
    assert (tmp_path / "moved").is_dir()


@pytest.mark.parametrize("kind", ["link", "file", "nothing"])
def test_links_are_never_followed(kind: str, tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.mkdir()
    path = tmp_path / "run.tmp-00000000"
    if kind == "link":
        path.symlink_to(target)
    if kind == "file":
        path.touch()
    assert remove_abandoned(path) == (kind == "file")
    assert target.is_dir()


def test_what_is_mounted_in_it_is_not_emptied(tmp_path: Path) -> None:
    """A killed mmdebstrap leaves the host's own /dev mounted in its tree."""
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "file").touch()
    path = tmp_path / "tree with a blank"
    point = path / "dev"
    point.mkdir(parents=True)
    with private_mounts():
        subprocess.run(["mount", "--bind", precious, point], check=True, timeout=20)
        assert remove_abandoned(path)
    assert (precious / "file").exists()
    assert not path.exists()


def test_a_deleted_lock_file_frees_no_id_of_a_living_vm(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    ids = VMIds(workspace, 10)
    assert ids.take() == 1
    with Owned.directory(vms_directory(workspace) / "vm1"):
        (workspace.run / "ids.lock").unlink()
        other = VMIds(workspace, 10)
        assert not other.try_take(1)
        assert other.take() == 2
        remove_leftovers(workspace)
        assert (workspace.run / "vms/vm1").is_dir()
        assert ids.take() == 3, "the first owner uses the new file as well"
    assert not other.try_take(1), "and holds its ids in it"


@pytest.mark.parametrize(
    ("pid", "older_s", "stays"),
    [("mine", 0, True), ("mine", 1e9, False), ("dead", 0, False), ("damaged", 0, False)],
    ids=["runs", "another process has its id by now", "dead", "unreadable"],
)
def test_an_unlocked_vm_directory_stays_only_while_its_vmm_runs(
    pid: str, older_s: float, stays: bool, tmp_path: Path
) -> None:
    workspace = Workspace(tmp_path)
    directory = workspace.directory("run", "vms") / "vm1"
    directory.mkdir()
    with subprocess.Popen(["true"]) as dead:
        pass
    number = os.getpid() if pid == "mine" else dead.pid
    state = VMState(
        pid=number,
        owner_pid=1,
        lane="qemu/tcg",
        vm_id=1,
        namespace="vm1",
        private_host="",
        ssh_key="/k",
        snapshot=None,
    )
    path = directory / "vm.json"
    path.write_text("{" if pid == "damaged" else state.to_json())
    os.utime(path, (path.stat().st_mtime - older_s,) * 2)
    if pid != "damaged":
        assert list(running_vms(workspace)) == (["vm1"] if stays else [])
    remove_leftovers(workspace)
    assert directory.is_dir() == stays


def test_vms_behind_a_planted_link_stay(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    (elsewhere / "vm1").mkdir(parents=True)
    (tmp_path / "home/run").mkdir(parents=True)
    (tmp_path / "home/run/vms").symlink_to(elsewhere)
    remove_leftovers(Workspace(tmp_path / "home"))
    assert (elsewhere / "vm1").is_dir()


def test_a_living_owner_keeps_its_vm_when_run_is_deleted(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    mine = Owned.directory(vms_directory(workspace) / "vm1")
    mine.path.rmdir()
    with Owned.directory(vms_directory(workspace) / "vm1") as others:
        mine.remove()
        assert others.path.is_dir(), "it is another VM's by now"


LEAD_ELSEWHERE = ["run", "run/vms", "build", "build/kernel", "cache", "cache/lanes", "snapshots", "reports", "keys"]


@pytest.mark.parametrize("place", LEAD_ELSEWHERE)
def test_planted_link_is_rejected_by_name(place: str, tmp_path: Path) -> None:
    elsewhere, workspace = tmp_path / "etc", Workspace(tmp_path / "home")
    elsewhere.mkdir()
    link = workspace.root / place
    link.parent.mkdir(parents=True)
    for target in (elsewhere, tmp_path / "missing"):
        link.symlink_to(target)
        with pytest.raises(HostError, match=rf"{place}: a symbolic link to .*\n.*remove the link"):
            workspace.directory(*place.split("/"))
        link.unlink()
    assert not list(elsewhere.iterdir())


def test_planted_link_named_as_run_or_snapshot_is_rejected(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "home")
    for place in ("reports", "snapshots"):
        (workspace.directory(place) / "v1").symlink_to(tmp_path)
        with pytest.raises(HostError, match=f"{place}/v1: a symbolic link"):
            workspace.path(place, "v1")
        assert workspace.path(place, "v2") == workspace.root / place / "v2"


def test_directories_of_other_users_are_rejected(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    workspace.run.chmod(0o777)
    with pytest.raises(HostError, match="run: world-writable"):
        _ = workspace.run
    (tmp_path / "run").chmod(0o755)
    os.chown(tmp_path / "run", 12345, 0)
    with pytest.raises(HostError, match="run: belongs to user 12345, not to root"):
        _ = workspace.run
    os.chown(tmp_path, 12345, 0)
    assert workspace.run.is_dir(), "the owner of HORNET_HOME may own what is in it"


def test_the_home_itself_may_be_a_link(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    monkeypatch.setenv("HORNET_HOME", str(tmp_path / "link"))
    assert Workspace.from_env().run == tmp_path / "real/run"


def test_a_file_in_the_place_of_a_directory_is_named(tmp_path: Path) -> None:
    (tmp_path / "run").touch()
    with pytest.raises(HostError, match="run: not a directory"):
        _ = Workspace(tmp_path).run
