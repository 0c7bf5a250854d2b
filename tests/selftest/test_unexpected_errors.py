"""Faults of the suite itself: exit code 2, one message, and the traceback in a log."""

from __future__ import annotations

import errno
import json
import threading
from collections.abc import Callable
from pathlib import Path

import paramiko
import psutil
import pytest
import typer

import hornet_cli.ext4
from hornet.errors import HostError
from hornet_cli import failures, main
from hornet_cli.failures import LOGS_DIRECTORY, Failures
from tests.support.command_samples import PYTHON, hornetos, run


@pytest.fixture
def fresh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Failures:
    """A home for the logs, and failures that are no other test's."""
    monkeypatch.setenv("HORNET_HOME", str(tmp_path))
    made = Failures()
    monkeypatch.setattr(main, "FAILURES", made)
    monkeypatch.setattr(failures, "FAILURES", made)
    return made


def run_failing(fail: Callable[[], object], monkeypatch: pytest.MonkeyPatch) -> int:
    """`hornetos ext4` whose judge does something else."""
    monkeypatch.setattr(hornet_cli.ext4, "judge_ext4", lambda *words: fail())
    return main.run(["ext4", "image"])


def raising(error: BaseException) -> Callable[[], object]:
    def fail() -> None:
        raise error

    return fail


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError(errno.EIO, "Input/output error", "/images/x"), "/images/x: Input/output error\n  next: the disk"),
        (OSError(errno.ENOSPC, "No space left on device"), "hornet_cli/ext4.py, line"),
        (OSError("no number"), "unexpected OSError: no number"),
        (BrokenPipeError(errno.EPIPE, "Broken pipe"), "Broken pipe"),
        (EOFError(), "unexpected EOFError: no reason given"),
        (MemoryError(), "out of memory\n  next: free memory"),
        (RecursionError("maximum recursion depth exceeded"), "unexpected RecursionError"),
        (UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte"), "unexpected UnicodeDecodeError"),
        (UnicodeEncodeError("utf-8", "\udcff", 0, 1, "surrogates not allowed"), "unexpected UnicodeEncodeError"),
        (KeyError("pid"), "unexpected KeyError: 'pid'; nothing was judged"),
        (AssertionError(), "unexpected AssertionError"),
        (json.JSONDecodeError("Expecting value", "x\x1b]0;", 0), "unexpected JSONDecodeError"),
        (paramiko.SSHException("\x1b[31mbanner"), r"unexpected SSHException: \x1b[31mbanner"),
        (psutil.NoSuchProcess(7), "unexpected NoSuchProcess"),
        (typer.Abort(), "unexpected Abort"),
        (ExceptionGroup("two", [ValueError("a"), KeyError("b")]), "unexpected ExceptionGroup: two"),
        (HostError("no lane", "build a kernel"), "hornetos: no lane\n  next: build a kernel\n"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else "",
)
def test_any_exception_is_2_and_one_message(
    error: BaseException,
    said: str,
    fresh: Failures,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run_failing(raising(error), monkeypatch) == 2
    shown = capsys.readouterr()
    assert said in shown.err
    assert "Traceback" not in shown.err + shown.out
    assert "\x1b" not in shown.err


def test_the_traceback_is_in_a_log_that_the_message_names(
    fresh: Failures, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run_failing(raising(KeyError("pid")), monkeypatch)
    (log,) = (tmp_path / LOGS_DIRECTORY).iterdir()
    assert f"the traceback is in {log}" in capsys.readouterr().err
    assert "Traceback (most recent call last)" in log.read_text()
    assert "KeyError: 'pid'" in log.read_text()


def test_a_log_that_can_not_be_written_hides_nothing(
    fresh: Failures, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HORNET_HOME", "/dev/null")
    monkeypatch.setattr(hornet_cli.ext4, "settings", lambda ctx: raising(KeyError("pid"))())
    assert main.run(["ext4", "image"]) == 2
    assert "run `hornetos --debug" in capsys.readouterr().err


def test_debug_shows_the_traceback(tmp_path: Path) -> None:
    ended = hornetos("--debug", "kconfig", str(tmp_path), HORNET_HOME=str(tmp_path))
    assert ended.returncode == 2
    assert "Traceback (most recent call last)" in ended.stderr


def test_what_a_thread_could_not_do_makes_no_verdict(
    fresh: Failures, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(threading, "excepthook", fresh._in_thread)

    def judge_with_a_thread() -> None:
        thread = threading.Thread(target=raising(OSError(errno.ENOSPC, "No space left on device", "/x.log")), name="t")
        thread.start()
        thread.join()
        raise typer.Exit(1)

    assert run_failing(judge_with_a_thread, monkeypatch) == 2
    assert "hornetos: in thread t: /x.log: No space left on device" in capsys.readouterr().err


AT_EXIT = """
import atexit, sys
sys.argv = ["hornetos", "--help"]
class Late:
    def __del__(self):
        raise KeyError("late")
kept = [Late()]
atexit.register(lambda: 1 / 0)
from hornet_cli.main import main
main()
"""
BEFORE_MAIN = """
import sys
sys.argv = ["hornetos", "gate"]
sys.modules["typer"] = None
from hornet_cli.main import main
main()
"""


def test_errors_at_interpreter_exit_print_no_traceback(tmp_path: Path) -> None:
    ended = run([PYTHON, "-c", AT_EXIT], HORNET_HOME=str(tmp_path))
    assert (ended.returncode, ended.stderr) == (0, "")
    assert "ZeroDivisionError" in "".join(log.read_text() for log in (tmp_path / LOGS_DIRECTORY).iterdir())


def test_a_broken_installation_is_2(tmp_path: Path) -> None:
    ended = run([PYTHON, "-c", BEFORE_MAIN], HORNET_HOME=str(tmp_path))
    assert ended.returncode == 2
    assert "Traceback" not in ended.stderr
    assert "typer" in ended.stderr
    assert "installation" in ended.stderr
