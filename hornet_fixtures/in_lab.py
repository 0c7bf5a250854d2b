"""`pytest --lab`: the same command line, run in an emulated host with KVM (docs/lab.md)."""

from __future__ import annotations

import sys

import pytest

from hornet.errors import HornetError
from hornet.host.facts import require_root
from hornet.host.progress import Progress
from hornet.host.workspace import Workspace
from hornet.spec.model import load_spec
from hornet_fixtures.options import spec_files
from lab.session import run_in_lab, this_command_there

OF_THIS_MACHINE = ("keep_vms", "pause_on_failure")


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> int | None:
    """With --lab, run the session there and return its exit code. Raises UsageError if the lab does not work."""
    if not config.getoption("lab"):
        return None
    for name in OF_THIS_MACHINE:
        if config.getoption(name):
            option = name.replace("_", "-")
            raise pytest.UsageError(f"--{option} and --lab exclude each other: the lab ends with the run")
    try:
        require_root()
        ended = run_in_lab(
            load_spec(*spec_files(config)), Workspace.from_env(), this_command_there("--lab"), Progress()
        )
    except HornetError as error:
        raise pytest.UsageError(str(error)) from error
    for path in ended.runs:
        print(f"brought back: {path}", file=sys.stderr)
    return ended.exit_code
