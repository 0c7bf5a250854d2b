"""`pytest --lab`: the same command line, run in an emulated host with KVM (docs/lab.md)."""

from __future__ import annotations

import os
import sys

import pytest

from hornet.errors import HornetError
from hornet.host.facts import require_root
from hornet.host.progress import Progress
from hornet.host.workspace import Workspace
from hornet.spec.model import Spec, load_spec
from hornet_fixtures.options import spec_files
from hornet_fixtures.tiers import built_tier
from lab.session import LabCrashedError, run_in_lab, this_command_there

# The exit code after a crash of the emulated host: none of pytest's own, each of which means something else.
CRASHED = os.EX_TEMPFAIL
OF_THIS_MACHINE = ("keep_vms", "pause_on_failure")


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> int | None:
    """With --lab, run the session there and return its exit code, or CRASHED.

    Raises UsageError if the lab does not work.
    """
    if not config.getoption("lab"):
        return None
    for name in OF_THIS_MACHINE:
        if config.getoption(name):
            option = name.replace("_", "-")
            raise pytest.UsageError(f"--{option} and --lab exclude each other: the lab ends with the run")
    try:
        require_root()
        spec, workspace, progress = load_spec(*spec_files(config)), Workspace.from_env(), Progress()
        _build(config, spec, workspace, progress)
        ended = run_in_lab(spec, workspace, this_command_there("--lab"), progress)
    except LabCrashedError as error:
        print(f"not judged: {error}", file=sys.stderr)
        return CRASHED
    except HornetError as error:
        raise pytest.UsageError(str(error)) from error
    for path in ended.runs:
        print(f"brought back: {path}", file=sys.stderr)
    return ended.exit_code


def _build(config: pytest.Config, spec: Spec, workspace: Workspace, progress: Progress) -> None:
    """Build here what the session will need and is missing: in the lab it would take hours. Raises BuildError."""
    from builders.images import build_image
    from builders.kernel import build_kernel

    if config.getoption("snapshot"):
        return
    if not config.getoption("kernel"):
        build_kernel(spec, workspace, progress)
    if not config.getoption("image"):
        distro = config.getoption("distro")
        build_image(spec, workspace, progress, tier=built_tier(config), distro=distro)
