"""./hornetos: what stands in its way is one sentence and exit code 2; it follows no link that was planted."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from hornet.installation import SOURCE

LAUNCHER = SOURCE / "hornetos"


def launch(workspace: Path | str, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [LAUNCHER, *words],
        env={**os.environ, "HORNET_HOME": str(workspace), "LC_ALL": "C", **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.fixture
def finished(tmp_path: Path) -> Path:
    """A home whose set-up is done; its Python is the one that runs this test."""
    venv = tmp_path / "home/venv"
    (venv / "bin").mkdir(parents=True)
    (venv / "bin/python").write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    (venv / "bin/python").chmod(0o755)
    files = f"{SOURCE}/pyproject.toml {SOURCE}/constraints.txt"
    stamp = f"cat {files} <(/usr/bin/python3 --version) | sha256sum >{venv}/stamp"
    subprocess.run(["bash", "-c", stamp], check=True)
    (tmp_path / "home").chmod(0o755)
    return tmp_path / "home"


def everything(workspace: Path) -> list[tuple[str, int]]:
    return sorted((str(path), path.lstat().st_mtime_ns) for path in [workspace, *workspace.rglob("*")])


def test_nothing_is_set_up_twice(finished: Path) -> None:
    """An ordinary user can run commands that need neither root nor a writable checkout."""
    before = everything(finished)
    shown = launch(finished, "--help")
    assert (shown.returncode, shown.stderr) == (0, "")
    assert "kconfig" in shown.stdout
    assert everything(finished) == before


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["--version"], 0, "hornetos-suite "),
        (["--help"], 0, "sudo ./hornetos run "),
        (["gate", "--help"], 0, "sudo ./hornetos run "),
        (["gate", "latest"], 2, "this command sets nothing up\n  next: sudo ./hornetos host"),
        (["--overlay", "run", "report"], 2, "this command sets nothing up"),
    ],
)
def test_reading_commands_set_nothing_up(words: list[str], code: int, said: str, tmp_path: Path) -> None:
    workspace = tmp_path / "home"
    shown = launch(workspace, *words, PATH=f"{fake_tools(tmp_path)}:{os.environ['PATH']}")
    assert shown.returncode == code
    assert said in shown.stdout + shown.stderr
    assert everything(workspace) == [(str(workspace), workspace.stat().st_mtime_ns)]


def fake_tools(directory: Path, apt_get: str = "exit 9") -> Path:
    """A dpkg-query that knows no package, and an apt-get."""
    tools = directory / "tools"
    tools.mkdir()
    for name, script in (("dpkg-query", "true"), ("apt-get", apt_get)):
        (tools / name).write_text(f"#!/bin/sh\n{script}\n")
        (tools / name).chmod(0o755)
    return tools


BUSY = """echo "$@" >>"$CALLS"
[ $(wc -l <"$CALLS") -gt 2 ] || { echo "E: Could not get lock /var/lib/apt/lists/lock."; exit 100; }"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root installs packages")
def test_set_up_shows_its_steps_and_waits_for_a_busy_package_manager(finished: Path, tmp_path: Path) -> None:
    calls = tmp_path / "calls"
    path = f"{fake_tools(tmp_path, BUSY)}:{os.environ['PATH']}"
    shown = launch(finished, "host", "--help", PATH=path, CALLS=str(calls))
    assert not calls.exists(), "--help sets nothing up"
    shown = launch(finished, "net", "list", "--private", "hornet-none-", PATH=path, CALLS=str(calls))
    assert shown.returncode == 0, shown.stderr
    first, second, third = shown.stderr.splitlines()
    assert "updating apt's package lists" in first
    assert second == "hornetos: waiting for another package manager, at most 600 s"
    assert third.startswith("hornetos: installing ")
    assert [line.split()[2] for line in calls.read_text().splitlines()] == ["update", "update", "update", "install"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root installs packages")
def test_failure_of_apt_is_reported_at_once(finished: Path, tmp_path: Path) -> None:
    tools = fake_tools(tmp_path, "echo 'E: no mirror'; exit 100")
    shown = launch(finished, "host", PATH=f"{tools}:{os.environ['PATH']}")
    assert shown.returncode == 2
    assert "apt-get failed: E: no mirror" in shown.stderr


ODD_HOMES = {
    "below a file": ("file/home", "cannot be created"),
    "a file": ("file", "cannot be created"),
    "no place for files": ("/proc/home", "cannot be created"),
    "with a colon": ("a:b", "a colon or a control character"),
    "with a line break": ("a\nb", "a colon or a control character"),
    "open to everybody": ("open", "world-writable"),
}


@pytest.mark.parametrize("name", ODD_HOMES)
def test_unusable_home_is_one_sentence(name: str, tmp_path: Path) -> None:
    path, why = ODD_HOMES[name]
    (tmp_path / "file").touch()
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o777)
    shown = launch(tmp_path / path, "--help")
    assert shown.returncode == 2
    assert why in shown.stderr
    assert "next: " in shown.stderr
    assert len(shown.stderr.splitlines()) == 2


def test_planted_links_are_not_followed_and_errors_are_named(finished: Path, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious\n")
    (finished / "venv/stamp").write_text("of another version\n")
    for name in ("setup.log", "setup.lock"):
        (finished / name).symlink_to(victim)
    shown = launch(finished, "host", PIP_NO_INDEX="1", PIP_FIND_LINKS="")
    assert victim.read_text() == "precious\n"
    assert shown.returncode == 2
    assert "pip failed" in shown.stderr
    log = finished / "setup.log"
    assert not log.is_symlink()
    assert "No matching distribution" in log.read_text()


def test_only_a_regular_log_file_is_written_to(finished: Path, tmp_path: Path) -> None:
    (finished / "venv/stamp").write_text("of another version\n")
    (finished / "setup.log").mkdir()
    shown = launch(finished, "host")
    assert shown.returncode == 2
    assert f"{finished}/setup.log cannot be created" in shown.stderr
