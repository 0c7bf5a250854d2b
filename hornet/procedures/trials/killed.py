"""Tries the clean-up: a process that runs a VM of the snapshot is killed, and the next start removes what it left."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

from hornet.checks.procedures import CleanUpFacts
from hornet.errors import VMError
from hornet.host.owned import is_owned
from hornet.host.workspace import Workspace
from hornet.installation import SOURCE
from hornet.network import netns, ownership
from hornet.network.ids import vms_directory
from hornet.procedures.trials import vm_process
from hornet.procedures.trials.place import TrialPlace
from hornet.spec.network import RUN_PREFIX
from hornet.vm.leftovers import remove_leftovers
from hornet.vm.state import STATE_FILE, VMState, read_state, vmm_runs

# The time of a start of Python and of its imports, on a busy machine.
START_TIMEOUT_S = 60.0
END_TIMEOUT_S = 10.0
POLL_S = 0.05


def try_clean_up(place: TrialPlace) -> CleanUpFacts:
    """Kill a process that runs a VM, then start as the suite does. Raises VMError if the process runs none in time."""
    home, spec = Workspace(place.home.root / "killed"), place.fleet.spec
    process = _start(place, home)
    try:
        path = _await_state(home, process, START_TIMEOUT_S + spec.snapshot.restore_timeout_s)
        state, had = read_state(path), _objects_of(process.pid, home)
    finally:
        process.kill()
        process.communicate()
    running = _await_end(path, state)
    remove_leftovers(home)
    ownership.remove_leftovers(spec.network)
    return CleanUpFacts(had, {**_objects_of(process.pid, home), "VMM processes": running})


def _start(place: TrialPlace, home: Workspace) -> subprocess.Popen[str]:
    """Start the process. It ends by itself when this process has gone: its standard input closes then."""
    request = vm_process.Request(
        home=str(home.root),
        lane=str(place.fleet.lane),
        snapshot=str(place.subject.directory),
        spec=place.fleet.spec.model_dump(mode="json"),
    )
    argv = [sys.executable, "-m", vm_process.__name__]
    environment = {**os.environ, "PYTHONPATH": str(SOURCE)}
    process = subprocess.Popen(
        argv, env=environment, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    assert process.stdin is not None
    process.stdin.write(json.dumps(request._asdict()) + "\n")
    process.stdin.flush()
    return process


def _objects_of(pid: int, home: Workspace) -> dict[str, list[str]]:
    """The VM directories and network namespaces of a process."""
    prefix = f"{RUN_PREFIX}{pid}-"
    return {
        "VM directories": sorted(os.listdir(vms_directory(home))),
        "namespaces": sorted(name for name in netns.names() if name.startswith(prefix)),
    }


def _await_state(home: Workspace, process: subprocess.Popen[str], timeout_s: float) -> Path:
    """The state file of the process's VM. Raises VMError."""
    deadline_s = time.monotonic() + timeout_s
    while not (found := list(vms_directory(home).glob(f"*/{STATE_FILE}"))):
        if process.poll() is not None:
            said = process.communicate()[1].strip()[-1000:]
            raise VMError(f"the process that had to run a VM ended with exit code {process.returncode}: {said}")
        if time.monotonic() > deadline_s:
            raise VMError(f"timed out after {timeout_s:g} s waiting for a VM of another process", timed_out=True)
        time.sleep(POLL_S)
    return found[0]


def _await_end(path: Path, state: VMState) -> list[str]:
    """Wait until the kernel has ended the VMM with all its threads, which hold its disk; names it if it still runs."""
    deadline_s = time.monotonic() + END_TIMEOUT_S
    while vmm_runs(path, state) or is_owned(path.parent):
        if time.monotonic() > deadline_s:
            return [f"process {state.pid}"]
        time.sleep(POLL_S)
    return []
