"""Commands that are interrupted, or whose output goes nowhere: their exit codes, and no traceback."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from hornet.installation import SOURCE
from tests.support.command_samples import PYTHON, Places, places, run

__all__ = ["places"]

INTERRUPTED = """
import sys
sys.argv = ["hornetos", "gate"]
import hornet_cli.gate
from hornet_cli.main import main
def interrupt(*words):
    raise KeyboardInterrupt
hornet_cli.gate.settings = interrupt
main()
"""


def test_an_interrupt_is_130(tmp_path: Path) -> None:
    interrupted = run([PYTHON, "-c", INTERRUPTED], HORNET_HOME=str(tmp_path))
    assert (interrupted.returncode, interrupted.stdout) == (130, "")
    assert interrupted.stderr == "hornetos: interrupted\n"


def shell(line: str, places: Places) -> subprocess.CompletedProcess[str]:
    line = line.replace("hornetos", f"{shlex.quote(PYTHON)} -m hornet_cli")
    return run(["bash", "-o", "pipefail", "-c", line], HORNET_HOME=str(places.workspace))


@pytest.mark.parametrize("words", ["--help", "gate latest", "capacity latest"])
def test_closed_pipe_is_not_an_error(words: str, places: Places) -> None:
    ended = shell(f"hornetos {words} | true", places)
    assert ended.stderr == ""
    assert ended.returncode == 141


@pytest.mark.parametrize("words", ["--help", "gate latest", "capacity latest"])
def test_output_that_can_not_be_written_is_2(words: str, places: Places) -> None:
    ended = shell(f"hornetos {words} >/dev/full", places)
    assert ended.returncode == 2
    assert "standard output: No space left on device" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_closed_stdout_and_stderr_still_set_the_exit_code(places: Places) -> None:
    assert shell("hornetos gate gone >/dev/full 2>/dev/full", places).returncode == 2
    assert shell("hornetos gate gone >&- 2>&-", places).returncode == 2
    assert shell("hornetos --help >&-", places).returncode == 0


def test_a_launcher_that_fails_is_2(tmp_path: Path) -> None:
    """Any step of the launcher may fail; here it is the lock of HORNET_HOME."""
    for name in ("packages.txt", "pyproject.toml"):
        shutil.copy(SOURCE / name, tmp_path)
    text = (SOURCE / "hornetos").read_text()
    assert "    flock 9\n" in text
    (tmp_path / "hornetos").write_text(text.replace("    flock 9\n", "    false\n"))
    ended = run(["bash", tmp_path / "hornetos", "host"], HORNET_HOME=str(tmp_path / "home"))
    assert ended.returncode == 2
    assert "could not be set up" in ended.stderr


def test_interrupt_during_start_prints_no_traceback(tmp_path: Path) -> None:
    (tmp_path / "logging.py").write_text("import os, signal\nos.kill(os.getpid(), signal.SIGINT)\n")
    done = subprocess.run(
        [sys.executable, "-m", "hornet_cli", "guide"],
        cwd=SOURCE,
        env={**os.environ, "PYTHONPATH": f"{tmp_path}:{SOURCE}"},
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (-signal.SIGINT, "")
