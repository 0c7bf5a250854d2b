"""Running VMs of failed tests for hands: --pause-on-failure waits for Enter, --keep-vms lets them outlive the run."""

from __future__ import annotations

import os
import sys
from collections.abc import Generator, Sequence
from typing import Any

import pytest

from hornet.host.interrupts import ended_by
from hornet.vm.fleet import VM, Fleet
from hornet.vm.holding import RunInChild, detach, fork_run, hold_kept, how_to_enter, release_kept

STDIN = 0
_PAUSED = pytest.StashKey[bool]()


def check_options(config: pytest.Config) -> None:
    """Raises UsageError for options that cannot work here."""
    wanted = [name for name in ("--keep-vms", "--pause-on-failure") if config.getoption(name[2:].replace("-", "_"))]
    if wanted and (config.getoption("numprocesses", None) or hasattr(config, "workerinput")):
        raise pytest.UsageError(f"{wanted[0]}: the VMs belong to the workers, which end with the run: leave out -n")
    if not config.getoption("pause_on_failure"):
        return
    _uncapture_stdin(config)
    if not os.isatty(STDIN):
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
    reporter: Any = config.pluginmanager.get_plugin("terminalreporter")
    # Somebody who looks at a guest takes longer than a test may.
    config.hook.pytest_timeout_cancel_timer(item=item)
    _uncapture_stdin(config)
    reporter.ensure_newline()
    reporter.write_line(f"paused: {item.nodeid} failed")
    for line in how_to_enter([vm for vm in vms if vm.vmm.alive]) or ["none of its VMs runs any more"]:
        reporter.write_line(line)
    reporter.write("press Enter to go on: ", flush=True)
    sys.stdin.readline()


def release_vms(config: pytest.Config) -> None:
    """End the VMs that were kept for a pause, unless they are to outlive the run."""
    if not config.getoption("keep_vms"):
        release_kept()


def _uncapture_stdin(config: pytest.Config) -> None:
    """Make standard input the user's own again, as pytest does for its debugger; the next test captures it again."""
    capture: Any = config.pluginmanager.get_plugin("capturemanager")
    capture.suspend_global_capture(in_=True)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> Generator[None, Any, Any]:
    """With --keep-vms, run the tests in a child, which holds the kept VMs after the run has ended for its caller."""
    if not config.getoption("keep_vms"):
        return (yield)
    child = fork_run()
    if not isinstance(child, RunInChild):
        os._exit(child)
    code = yield
    if ended_by():
        release_kept()
    if Fleet.kept:
        config.get_terminal_writer().flush()  # its stream is not Python's standard output while output is captured
        detach()
        child.hand_over(int(code))
        hold_kept()
        os._exit(0)
    return code


def lines_of_kept_vms() -> list[str]:
    """For the end of a run: the VMs that outlive it, with the commands for them. A signal ends them with the run."""
    return [] if ended_by() else how_to_enter([vm for vm in Fleet.kept if vm.vmm.alive])
