"""`hornetos clean`: the oldest of each kind go, what is used or referred to stays, and so does what is not ours."""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from filelock import FileLock
from typer.testing import CliRunner

from hornet.host.artifact_store import Store
from hornet.host.compiler_cache import cache_directory, cache_environment
from hornet.host.workspace import Workspace
from hornet.snapshot import Bundle, publishing, switch_production
from hornet.vm.state import VMState
from hornet_cli.app import app
from tests.support.bundle_samples import NAMES, ORIGIN, fill

HOUR_S, DAY_S = 3600, 86_400


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    monkeypatch.setenv("HORNET_HOME", str(tmp_path / "home"))
    return Workspace(tmp_path / "home")


def clean(*words: str) -> list[str]:
    """Runs it; the paths that it removed, in HORNET_HOME."""
    done = CliRunner().invoke(app, ["clean", "--json", *words], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    root = Path(os.environ["HORNET_HOME"])
    return sorted(str(Path(it["path"]).relative_to(root)) for it in json.loads(done.stdout)["items"] if it["removed"])


def artifact(home: Workspace, number: int, kind: str = "rootfs") -> Path:
    """An artifact, used that many hours ago, by a process that has ended."""
    path = home.directory("build", kind) / f"{number:016x}"
    path.mkdir()
    (path / "content").write_bytes(bytes(10_000))
    (path / "inputs.json").write_text("{}")
    used_s = time.time() - number * HOUR_S
    os.utime(path / "inputs.json", (used_s, used_s))
    return path


def snapshot(home: Workspace, number: int, parent: str | None = None, *, adopted: bool = False) -> Bundle:
    target = home.snapshots / f"v{number}"
    with publishing(target, NAMES) as bundle:
        fill(bundle, number)
        bundle.seal(target.name, ORIGIN.model_copy(update={"parent": parent, "adopted": adopted}))
    _age(target, number)
    return Bundle(target, NAMES)


def report(home: Workspace, number: int) -> Path:
    path = home.directory("reports", f"20260101-{100000 + number}")
    (path / "run.json").write_text("{}")
    _age(path, number)
    return path


def _age(path: Path, hours: int) -> None:
    then_s = time.time() - hours * HOUR_S
    os.utime(path, (then_s, then_s))


def test_oldest_of_each_kind_are_removed(home: Workspace) -> None:
    artifacts = [artifact(home, number) for number in range(1, 4)]
    others = [artifact(home, number, "kernel") for number in range(4, 6)]
    reports = [report(home, number) for number in range(1, 4)]
    removed = clean("--keep", "2")
    assert removed == sorted(str(it.relative_to(home.root)) for it in (artifacts[2], reports[2]))
    assert all(path.exists() for path in (*artifacts[:2], *others, *reports[:2]))
    assert not artifacts[2].exists()


def test_dry_run_removes_nothing_and_shows_sizes(home: Workspace) -> None:
    path = artifact(home, 1)
    artifact(home, 0)
    done = CliRunner().invoke(app, ["clean", "--keep", "1", "--dry-run"])
    assert f"build/rootfs/{path.name}" in done.stdout
    assert "1 of 2 would be removed, 0.0 MB" in done.stdout
    assert path.exists()


def test_young_ones_stay(home: Workspace) -> None:
    old, _ = artifact(home, 50), artifact(home, 1)
    artifact(home, 2)
    assert clean("--keep", "1", "--older-than", "1") == [str(old.relative_to(home.root))]


def test_failed_builds_and_logs_are_removed(home: Workspace) -> None:
    for number in range(2):
        failed = home.directory("build", "kernel", f"{number:016x}.failed")
        (failed / "build.log").write_text("error")
        log = home.directory("logs") / f"20260101-10000{number}-7.log"
        log.write_text("Traceback")
        vm = home.directory("logs", "vms", f"20260101-10000{number}-7")
        for path in (failed, log, vm):
            _age(path, number)
    assert len(clean("--keep", "1")) == 3


@contextmanager
def used_artifact(path: Path) -> Iterator[None]:
    fd = os.open(path, os.O_RDONLY)
    fcntl.flock(fd, fcntl.LOCK_SH)
    yield
    os.close(fd)


def test_used_artifact_stays_until_its_user_ends(home: Workspace) -> None:
    artifact(home, 1)
    path = artifact(home, 2)
    with used_artifact(path):
        assert clean("--keep", "1") == []
    assert clean("--keep", "1") == [str(path.relative_to(home.root))]


def test_artifact_that_is_being_built_again_stays(home: Workspace) -> None:
    artifact(home, 1)
    path = artifact(home, 2)
    with FileLock(f"{path}.lock"):
        assert clean("--keep", "1") == []


def test_process_that_asked_for_an_artifact_uses_it(home: Workspace) -> None:
    def fill(work: Path) -> None:
        (work / "x").write_text("x")

    store = Store(home, lambda _: None)
    path = store.get_or_build("rootfs", {"a": 1}, fill)
    _age(path / "inputs.json", 9)
    artifact(home, 1)
    assert clean("--keep", "1") == []
    store.get_or_build("rootfs", {"a": 1}, lambda _: None)
    assert time.time() - (path / "inputs.json").stat().st_mtime < 60, "its last use is not noted"


def test_published_kernel_and_latest_report_stay(home: Workspace) -> None:
    artifact(home, 1, "kernel")
    kernel = artifact(home, 2, "kernel")
    (home.images / "vmlinux").symlink_to(kernel / "content")
    report(home, 1)
    latest = report(home, 2)
    (home.reports / "latest").symlink_to(latest.name)
    assert clean("--keep", "1") == []


def test_snapshots_that_somebody_refers_to_stay(home: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    snapshot(home, 1)
    free = snapshot(home, 7)
    live, running, adopted = snapshot(home, 3), snapshot(home, 4), snapshot(home, 5, adopted=True)
    parent = snapshot(home, 6)
    child = snapshot(home, 2, parent=parent.check_seal().self_sha256)
    switch_production(home, live)
    state = VMState(
        pid=1, owner_pid=1, lane="qemu/tcg", vm_id=1, namespace="vm1", private_host="", ssh_key="",
        snapshot=str(running.directory),
    )  # fmt: skip
    monkeypatch.setattr("hornet.procedures.clean.running_vms", lambda _: {"vm1": state})
    assert clean("--keep", "2") == [str(free.directory.relative_to(home.root))]
    assert all(it.directory.exists() for it in (live, running, adopted, parent, child))


FOREIGN = [
    "build/rootfs/notes",
    "build/rootfs/0123456789abcdeg",
    "snapshots/my-backup",
    "reports/benchmarks",
    "reports/20260101-1000",
    "logs/mine.log",
    "logs/vms/mine",
    "mine",
]


@pytest.mark.parametrize("name", FOREIGN)
def test_what_the_suite_did_not_make_stays(name: str, home: Workspace) -> None:
    path = home.root / name
    path.mkdir(parents=True)
    (path / "content").write_text("precious")
    _age(path, 1000)
    assert clean("--keep", "1") == []
    assert (path / "content").exists()


def test_links_are_not_followed(home: Workspace, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "inputs.json").write_text("{}")
    artifact(home, 1)
    (home.build / "rootfs" / f"{99:016x}").symlink_to(elsewhere)
    (home.build / "linked").symlink_to(elsewhere)
    assert clean("--keep", "1") == []
    assert (elsewhere / "inputs.json").exists()


def test_at_least_one_of_each_kind_stays(home: Workspace) -> None:
    assert CliRunner().invoke(app, ["clean", "--keep", "0"]).exit_code != 0


def test_old_downloads_are_removed(home: Workspace) -> None:
    for number in range(5):
        path = home.directory("cache", "kernel") / f"linux-6.{number}.tar.xz"
        path.write_bytes(bytes(5000))
        os.utime(path, (time.time() - number * HOUR_S,) * 2)
    assert clean("--keep", "3") == ["cache/kernel/linux-6.3.tar.xz", "cache/kernel/linux-6.4.tar.xz"]


def test_compiler_cache_is_trimmed_by_its_last_use(home: Workspace) -> None:
    """Objects of a real compiler: an old one and a new one."""
    objects = [compiled(home, number) for number in range(2)]
    for path in objects[0]:
        os.utime(path, (time.time() - 10 * DAY_S,) * 2)
    assert "cache/ccache stays: trimmed" in clean_says("--dry-run", "--older-than", "5")
    clean_says()
    clean_says("--older-than", "20")
    assert all(path.exists() for path in objects[0])
    assert "cache ccache          trimmed" in clean_says("--older-than", "5")
    assert not any(path.exists() for path in objects[0])
    assert all(path.exists() for path in objects[1])


def compiled(home: Workspace, number: int) -> set[Path]:
    """What the compiler's cache keeps of one more program."""
    source = home.directory() / f"{number}.c"
    source.write_text(f"int f{number}(void) {{ return {number}; }}\n")
    before = objects_of(home)
    environment = {**os.environ, **cache_environment(home)}
    argv = ["ccache", "gcc", "-c", str(source), "-o", str(source.with_suffix(".o"))]
    subprocess.run(argv, env=environment, timeout=60, check=True)
    return objects_of(home) - before


def objects_of(home: Workspace) -> set[Path]:
    """Results (R) and manifests (M), as ccache 4 names them."""
    return {path for path in cache_directory(home).rglob("*[RM]") if path.is_file()}


def clean_says(*words: str) -> str:
    return CliRunner().invoke(app, ["clean", *words], catch_exceptions=False).output
