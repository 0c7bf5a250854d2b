"""tox.ini: each line of an environment is a command that starts a program. tox notices only when it gets there."""

from __future__ import annotations

import configparser
import os
import shutil
import subprocess
import sys

from hornet.installation import SOURCE

TIMEOUT_S = 60


def not_programs(text: str) -> list[str]:
    """The commands in the output of `tox config` that do not start with the name of a program."""
    config = configparser.RawConfigParser(strict=False, allow_no_value=True)
    config.read_string(text)
    commands = [line for name in config.sections() for line in config[name].get("commands", "").splitlines() if line]
    assert commands
    path = f"{os.path.dirname(sys.executable)}:{os.environ['PATH']}"
    return [command for command in commands if not shutil.which(command.removeprefix("- ").split()[0], path=path)]


def test_each_command_starts_a_program() -> None:
    shown = subprocess.run(
        [sys.executable, "-m", "tox", "config", "-e", "ALL", "-k", "commands"],
        cwd=SOURCE,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=True,
    )
    assert not_programs(shown.stdout) == []


def test_an_argument_on_a_line_of_its_own_is_found() -> None:
    shown = f"[testenv:lab]\ncommands =\n  pytest -q a.py\n  {SOURCE}/tests/conformance/test_boot.py\n"
    assert not_programs(shown) == [f"{SOURCE}/tests/conformance/test_boot.py"]
