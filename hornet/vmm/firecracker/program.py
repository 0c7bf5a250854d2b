"""Which Firecracker is used: the one on PATH, or the one that HORNET_FIRECRACKER names; and what it says of itself."""

from __future__ import annotations

import os
import re
import shutil
from functools import cache
from pathlib import Path

from hornet.errors import HostError, VMError
from hornet.host.proc import run
from hornet.host.tools import HostTool

# What --firecracker sets, so that every process of a run uses the same.
VARIABLE = "HORNET_FIRECRACKER"
TIMEOUT_S = 20


def program() -> HostTool:
    """The program, by its name or its absolute path."""
    return HostTool(os.environ.get(VARIABLE) or "firecracker", None, required=False)


def use(path: Path) -> None:
    """Use this program from now on, also in processes that this one starts. Raises HostError if it can't be run."""
    if not os.access(path, os.X_OK) or not path.is_file():
        raise HostError(f"--firecracker {path}: no program that can be run", "name a release binary of Firecracker")
    os.environ[VARIABLE] = str(path.resolve())


def binary() -> Path:
    """The file of the program. Raises HostError if it is missing."""
    name = program().name
    if not (found := shutil.which(name)):
        raise HostError(f"{name}: not found on PATH", "hornetos firecracker install fetches a release")
    return Path(found).resolve()


def version() -> str:
    """Its version, as in `1.16.1`. Raises VMError if it is another program, CommandError if it can't run."""
    return _printed("--version", r"Firecracker v(\d+\.\d+\S*)", "Firecracker vN.N")


def snapshot_format() -> str:
    """The version of the snapshots that it writes, as in `10.0.0`. Raises VMError, CommandError."""
    return _printed("--snapshot-version", r"^v(\d+\.\d+\.\d+)$", "vN.N.N")


def _printed(option: str, pattern: str, expected: str) -> str:
    return _ask(program().name, option, pattern, expected)


@cache
def _ask(name: str, option: str, pattern: str, expected: str) -> str:
    text = run([name, option], timeout_s=TIMEOUT_S).output
    found = re.search(pattern, text, re.MULTILINE)
    if not found:
        raise VMError(f"{name} {option} printed {text[:80]!r}, expected '{expected}'", "name a release binary")
    return found.group(1)
