"""Running VMs of failed tests for hands: --pause-on-failure waits for Enter, --keep-vms lets them outlive the run."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from hornet.host.workspace import Workspace
from hornet.vm.fleet import VM, Fleet

_PAUSED = pytest.StashKey[bool]()


def check_options(config: pytest.Config) -> None:
    """Raises UsageError for options that cannot work here."""
    wanted = [name for name in ("--keep-vms", "--pause-on-failure") if config.getoption(name[2:].replace("-", "_"))]
    if wanted and (config.getoption("numprocesses", None) or hasattr(config, "workerinput")):
        raise pytest.UsageError(f"{wanted[0]}: the VMs belong to the workers, which end with the run: leave out -n")
    if config.getoption("pause_on_failure") and not sys.stdin.isatty():
        raise pytest.UsageError(
            "--pause-on-failure: standard input is not a terminal, so nobody can press Enter; use --keep-vms"
        )


def keep_vms(item: pytest.Item, vms: Sequence[VM]) -> None:
    """Let the running VMs of a failed test outlive the run."""
    for vm in [vm for vm in vms if vm in Fleet.running]:
        vm.fleet.keep(vm, f"test {item.nodeid} failed")


def pause(item: pytest.Item, vms: Sequence[VM]) -> None:
    """Wait for Enter at the first failure of a run, with the commands for its VMs on the terminal."""
    config = item.config
    if config.stash.get(_PAUSED, False):
        return
    config.stash[_PAUSED] = True
    plugin: Callable[[str], Any] = config.pluginmanager.get_plugin
    capture, reporter = plugin("capturemanager"), plugin("terminalreporter")
    # Somebody who looks at a guest takes longer than a test may.
    config.hook.pytest_timeout_cancel_timer(item=item)
    capture.suspend(in_=True)
    try:
        reporter.ensure_newline()
        reporter.write_line(f"paused: {item.nodeid} failed")
        for line in how_to_enter([vm for vm in vms if vm.vmm.alive]) or ["none of its VMs runs any more"]:
            reporter.write_line(line)
        reporter.write("press Enter to go on: ", flush=True)
        sys.stdin.readline()
    finally:
        capture.resume()


def how_to_enter(vms: Sequence[VM]) -> list[str]:
    """Lines with the commands that enter, show and end running VMs."""
    hornetos = Workspace.from_env().command_line
    lines = []
    for vm in vms:
        name = vm.name
        lines += [
            f"{name} runs (process {vm.vmm.pid}, namespace {vm.namespace.name}, {vm.directory})",
            f"  enter it:          {hornetos} vm ssh {name}",
            f"  read its console:  {hornetos} vm console {name}",
            f"  end it:            {hornetos} vm down {name}",
        ]
    return lines


def kept_lines() -> list[str]:
    """For the end of a run: the VMs that outlive it, and how to enter and end them."""
    return how_to_enter([vm for vm in Fleet.kept if vm.vmm.alive])
