"""The command line: exit codes and errors that say what is missing, as a user sees them."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from rich.text import Text
from typer.testing import CliRunner

from hornet.host.workspace import Workspace
from hornet.installation import SOURCE
from hornet_cli.app import app
from hornet_cli.context import Settings
from hornet_cli.run import _new_directory
from tests.support.bundle_samples import ORIGIN, make_bundle
from tests.support.command_samples import require_readable
from tests.support.synthetic_run import make_run

NOBODY = "65534"


def hornetos(*words: str, prefix: tuple[str, ...] = (), **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*prefix, sys.executable, "-m", "hornet_cli", *words],
        cwd=SOURCE,
        env={**os.environ, "PYTHONPATH": str(SOURCE), "PYTHONDONTWRITEBYTECODE": "1", **environment},
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_help_lists_every_command() -> None:
    shown = hornetos("--help")
    assert shown.returncode == 0
    for command in ("run", "test", "kconfig", "report", "gate", "capacity"):
        assert f" {command} " in shown.stdout


def help_texts(command: Any) -> Iterator[str]:
    """Of a command of click, its options and arguments, and its subcommands."""
    yield command.help or ""
    yield from (getattr(parameter, "help", None) or "" for parameter in command.params)
    for subcommand in getattr(command, "commands", {}).values():
        yield from help_texts(subcommand)


def test_help_loses_no_word_in_brackets() -> None:
    """Typer reads help as markup, which drops `[all]`."""
    texts = list(help_texts(typer.main.get_command(app)))
    assert len(texts) > len(app.registered_commands)
    assert [text for text in texts if Text.from_markup(text).plain != text] == []


def test_a_wrong_option_is_a_usage_error() -> None:
    shown = hornetos("run", "--teir", "micro")
    assert shown.returncode == 2
    assert "--tier" in shown.stderr


def test_an_unknown_tier_is_named_before_anything_is_built(tmp_path: Path) -> None:
    shown = hornetos("run", "--tier", "giant", HORNET_HOME=str(tmp_path))
    assert shown.returncode == 2
    assert "unknown tier 'giant'" in shown.stderr
    assert "micro" in shown.stderr
    assert not list(tmp_path.glob("build/*"))


def test_a_typo_in_the_spec_is_named(tmp_path: Path) -> None:
    overlay = tmp_path / "team.toml"
    overlay.write_text("[machine]\nmemory_mb = 256\n")
    shown = hornetos("--overlay", str(overlay), "run")
    assert shown.returncode == 2
    assert f"{overlay}: machine.memory_mb" in shown.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_without_root_the_error_says_so() -> None:
    reading = ("setpriv", f"--reuid={NOBODY}", "--clear-groups", "--inh-caps=-all")
    require_readable(reading)
    shown = hornetos("run", prefix=reading, HORNET_HOME="/tmp/hornet-of-nobody")
    assert shown.returncode == 2
    assert "this needs root" in shown.stderr
    assert "sudo" in shown.stderr


def test_a_missing_tool_is_named_with_its_package(tmp_path: Path) -> None:
    shown = hornetos("run", PATH=str(tmp_path), HORNET_HOME=str(tmp_path))
    assert shown.returncode == 2
    assert "qemu-system-x86_64 (package qemu-system-x86)" in shown.stderr
    assert "mmdebstrap" in shown.stderr


@pytest.mark.parametrize(
    "words", [["-e", "guest", "--", "-k", "X"], ["--", "-k", "X"], ["-e", "lint"], ["--", "a", "--", "b"], []]
)
def test_what_follows_two_dashes_reaches_pytest(words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    called: list[list[str]] = []

    def call(argv: list[str]) -> int:
        called.append(argv)
        return 0

    monkeypatch.setattr("hornet_cli.test.call", call)
    assert CliRunner().invoke(app, ["test", *words]).exit_code == 0
    [argv] = called
    assert argv[:4] == [sys.executable, "-m", "tox", "run"]
    assert argv[5:] == words, "after --result-json"


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["--lane", "qemu/tgc"], "unknown lane 'qemu/tgc'"),
        (
            ["--baseline", "20260101-00000"],
            "20260101-00000: no such run; did you mean 20260101-000000?\n  next: name a run directory",
        ),
        (["--tier", "mikro"], "mikro"),
    ],
)
def test_run_refuses_wrong_options_before_it_builds(
    words: list[str], named: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HORNET_HOME", str(tmp_path))
    make_run(tmp_path / "reports" / "20260101-000000")
    monkeypatch.setattr("hornet.host.facts.require_root", lambda: None)
    monkeypatch.setattr("hornet.host.tools.require_tools", lambda tools: None)
    monkeypatch.setattr("hornet_cli.run._build", lambda *_: pytest.fail("it builds"))
    assert named in str(CliRunner().invoke(app, ["run", *words]).exception)


def test_a_given_snapshot_is_judged_and_nothing_is_built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bundle, kernel = make_bundle(tmp_path / "v1.0"), tmp_path / "vmlinux"
    kernel.touch()
    called: list[list[str]] = []
    monkeypatch.setenv("HORNET_HOME", str(tmp_path / "home"))
    monkeypatch.setattr("hornet.host.facts.require_root", lambda: None)
    monkeypatch.setattr("hornet.host.tools.require_tools", lambda tools: None)
    monkeypatch.setattr("hornet_cli.run._build", lambda *_: pytest.fail("it builds"))
    monkeypatch.setattr("hornet_cli.run.call", lambda argv, environment: called.append(argv))
    words = ["run", f"--snapshot={bundle.directory}", f"--kernel={kernel}", "--require-kvm"]
    ended = CliRunner().invoke(app, words)
    assert ended.exit_code == 2, "pytest did not even begin"
    assert {f"--snapshot={bundle.directory}", f"--kernel={kernel}", f"--tier={ORIGIN.tier}"} <= set(called[0])
    assert not list((tmp_path / "home" / "reports").iterdir())


def test_two_runs_of_one_second_have_directories_of_their_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.strftime", lambda _: "20260101-000000")
    settings = Settings(Workspace(tmp_path))
    assert [_new_directory(settings).name for _ in range(3)] == [
        "20260101-000000",
        "20260101-000000-2",
        "20260101-000000-3",
    ]
