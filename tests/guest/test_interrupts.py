"""A run that is ended while VMs are up, or on their way: it ends soon, and leaves nothing behind."""

from __future__ import annotations

import concurrent.futures
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from hornet.errors import HornetError
from hornet.host.proc import is_running
from hornet.host.workspace import Workspace
from hornet.installation import SOURCE
from hornet.network import netns
from hornet.scenarios.agent_client import AgentClient
from hornet.snapshot import Bundle
from hornet.spec.model import Spec
from hornet.vm.fleet import VM, Fleet
from hornet.vm.state import running_vms
from tests.support.vmm_processes import vmm_processes

pytestmark = pytest.mark.guest

END_TIMEOUT_S, WAIT_S = 30, 60
WITH_A_VM = """
import os, threading

def test_hang(restored_vm):
    print("THERE", flush=True)
    if "HANG" in os.environ:
        threading.Event().wait(60)
"""
# Threads start one VM and boot another meanwhile. VM is there when the first of them has its VMM.
ASKED_AHEAD = """
import threading, time
from hornet.vm.fleet import Fleet

def test_hang(facts_future, read_only_root_future):
    while WAITED_FOR and not facts_future.done() and not any(hasattr(vm, "vmm") for vm in Fleet.running):
        time.sleep(0.01)
    print("THERE", flush=True)
    threading.Event().wait(60)
"""


def heed_interrupts() -> None:
    """Whoever starts these tests in the background of a shell script has interrupts ignored."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@contextmanager
def a_run(directory: Path, test: str, *options: str) -> Iterator[tuple[subprocess.Popen[str], list[str]]]:
    """pytest on this test alone, as far as it prints THERE, and its command line."""
    module = directory / "test_hang.py"
    module.write_text(test)
    shutil.copy(SOURCE / "conftest.py", directory)
    argv = [sys.executable, "-m", "pytest", "-s", "-q", "-p", "no:cacheprovider", f"--rootdir={directory}"]
    argv += [*options, str(module)]
    environment = {**os.environ, "PYTHONPATH": str(SOURCE), "HANG": "1"}
    with subprocess.Popen(
        argv, cwd=directory, env=environment, stdout=subprocess.PIPE, text=True, preexec_fn=heed_interrupts
    ) as process:
        for line in process.stdout or ():
            if "THERE" in line:
                break
        else:
            pytest.fail("the run ended before its VM was up")
        yield process, argv


def assert_nothing_is_left(process: subprocess.Popen[str], workspace: Workspace, vmms: list[psutil.Process]) -> None:
    _, there = psutil.wait_procs(vmms, timeout=5)
    assert not [vmm for vmm in there if is_running(vmm.pid)], "a VMM outlived its owner"
    assert not [name for name in os.listdir(netns.RUN_NETNS) if name.startswith(f"hornet-{process.pid}-")]
    assert process.pid not in [vm.owner_pid for vm in running_vms(workspace).values()]


@pytest.mark.parametrize("by", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_an_interrupted_run_leaves_nothing(
    by: signal.Signals, bundle: Bundle, workspace: Workspace, tmp_path: Path
) -> None:
    """A killed run cannot clean up: the next run does."""
    with a_run(tmp_path, WITH_A_VM, f"--snapshot={bundle.directory}") as (process, argv):
        vmms = vmm_processes(process.pid)
        assert len(vmms) == 1
        process.send_signal(by)
        process.communicate(timeout=END_TIMEOUT_S)
    if by is signal.SIGKILL:
        calm = {**os.environ, "PYTHONPATH": str(SOURCE)}
        again = subprocess.run(argv, cwd=tmp_path, env=calm, capture_output=True, text=True, timeout=120, check=False)
        assert again.returncode == 0, again.stdout
    assert_nothing_is_left(process, workspace, vmms)


@pytest.mark.parametrize("waited_for", [False, True], ids=["at once", "with a VM"])
def test_prefetched_work_ends_with_the_run(
    waited_for: bool, bundle: Bundle, workspace: Workspace, tmp_path: Path
) -> None:
    """The signal arrives while other threads start VMs and query them."""
    test = ASKED_AHEAD.replace("WAITED_FOR", str(waited_for))
    with a_run(tmp_path, test) as (process, _):
        vmms = vmm_processes(process.pid)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=END_TIMEOUT_S)
    assert process.returncode == 130
    assert_nothing_is_left(process, workspace, vmms)


# What a thread may be waiting for when its VM is removed: each for a minute, if nobody tells it.
WAITS: dict[str, Callable[[VM, AgentClient], object]] = {
    "a reply": lambda vm, agent: vm.guest.await_reply(WAIT_S),
    "a port": lambda vm, agent: vm.guest.await_port(WAIT_S),
    "a command": lambda vm, agent: vm.guest.run("true", WAIT_S),
    "an agent": lambda vm, agent: agent.answer(agent.ask()),
    "a connection": lambda vm, agent: agent.accept(WAIT_S),
}


@pytest.mark.parametrize("wait", WAITS)
def test_removing_a_vm_ends_waits_for_it(wait: str, fleet: Fleet, bundle: Bundle, spec: Spec) -> None:
    vm = fleet.restore(bundle)
    vm.vmm.pause()  # so that nothing answers
    with AgentClient(vm, spec) as agent, ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(WAITS[wait], vm, agent)
        with pytest.raises(TimeoutError):
            waiting.result(0.5)
        fleet.remove(vm)
        done, _ = concurrent.futures.wait([waiting], END_TIMEOUT_S / 3)
        assert done, f"still waits for {wait} of a VM that is gone"
    assert isinstance(waiting.exception(), HornetError), waiting
