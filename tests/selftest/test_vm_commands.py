"""`hornetos vm`: unknown names are refused with the known ones, and VMs of runs in progress are left alone."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
from typer.testing import CliRunner

from hornet.errors import HornetError, VMError
from hornet.host.workspace import Workspace
from hornet.network.ids import vms_directory
from hornet.spec.model import load_spec
from hornet.vm.fleet import VM, Fleet
from hornet.vm.holding import detach, fork_run, hold_kept, how_to_enter, ssh_command
from hornet.vm.state import STATE_FILE, VMState, read_state
from hornet.vmm.registry import lane_named
from hornet_cli import vm as vm_commands
from hornet_cli.app import app

STATE: dict[str, Any] = {
    "owner_pid": os.getpid(),
    "lane": "qemu/tcg",
    "vm_id": 7,
    "namespace": "hornet-1-vm7",
    "private_host": "hornet-1-",
    "ssh_key": "/keys/id_ed25519",
    "snapshot": None,
}


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """A home with vm7, left for hands, and vm8, of a run in progress. Their VMM is this process."""
    monkeypatch.setenv("HORNET_HOME", str(tmp_path))
    monkeypatch.setattr(vm_commands, "require_root", lambda: None)
    made = Workspace(tmp_path)
    for name, kept in (("vm7", "hornetos vm"), ("vm8", None)):
        directory = vms_directory(made) / name
        directory.mkdir()
        state = VMState(pid=os.getpid(), kept=kept, **STATE)
        (directory / STATE_FILE).write_text(state.to_json())
        (directory / "console.log").write_text("login: \x1b[2J\n")
        (directory / "vmm.log").write_text("")
        (directory / "api.jsonl").write_text('{"request": "cont"}\n')
    return made


def hornetos_vm(*words: str) -> str:
    result = CliRunner().invoke(app, ["vm", *words])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.output


def test_list_says_who_left_each_vm(workspace: Workspace) -> None:
    first, second = hornetos_vm("list").splitlines()
    assert first.startswith("vm7  qemu/tcg  ")
    assert first.endswith("left by hornetos vm")
    assert second.endswith(f"used by process {os.getpid()}, a run in progress")
    found = json.loads(hornetos_vm("list", "--json"))
    assert [(each["name"], each["kept"]) for each in found] == [("vm7", "hornetos vm"), ("vm8", None)]
    assert found[0]["ssh"].startswith("ip netns exec hornet-1-vm7 ssh -i /keys/id_ed25519 ")


@pytest.mark.parametrize("command", ["ssh", "console", "logs", "down"])
@pytest.mark.parametrize("name", ["vm9", "../vms/vm7", ""])
def test_unknown_name_is_rejected_with_the_known_ones(command: str, name: str, workspace: Workspace) -> None:
    with pytest.raises(VMError, match="no such VM runs") as caught:
        hornetos_vm(command, name)
    assert caught.value.hint == f"running VMs of {workspace.root}: vm7, vm8"


def test_down_rejects_a_vm_of_a_run_in_progress(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.kill", Mock(side_effect=AssertionError("it was ended")))
    with pytest.raises(VMError, match="a run in progress") as caught:
        hornetos_vm("down", "vm7", "vm8")
    assert caught.value.hint == f"end that run: kill -INT {os.getpid()}"


@pytest.mark.parametrize("words", [["down"], ["down", "vm7", "--all"]])
def test_down_needs_names_or_all(words: list[str], workspace: Workspace) -> None:
    assert CliRunner().invoke(app, ["vm", *words]).exit_code == 2


def test_console_and_logs_are_printed(workspace: Workspace) -> None:
    assert hornetos_vm("console", "vm7", "--no-follow").startswith("login: ")
    shown = hornetos_vm("logs", "vm7")
    assert "vmm.log\n(empty)\n" in shown
    assert '{"request": "cont"}' in shown


@pytest.mark.parametrize("option", ["--kernel", "--image"])
def test_missing_file_is_rejected_before_anything_is_built(option: str, workspace: Workspace) -> None:
    with pytest.raises(HornetError, match="/nowhere: no such file"):
        hornetos_vm("up", "--hold", option, "/nowhere")


def test_the_command_to_log_in_ignores_the_users_own_settings() -> None:
    words = ssh_command("vm7", "/k", "10.0.0.2")
    assert words[:7] == ["ip", "netns", "exec", "vm7", "ssh", "-i", "/k"]
    assert {"StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null"} <= set(words)
    assert words[-1] == "root@10.0.0.2"


# --- Holding ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def held(tmp_path: Path) -> Any:
    """A VM whose VMM and network are pretended."""
    fleet = Fleet(load_spec(), Workspace(tmp_path), lane_named("qemu/tcg"), Mock(prefix=""), Mock())
    vm: Any = VM(fleet._ids.take(), "vm7", tmp_path / "vm7", None)
    vm.directory.mkdir()
    vm.fleet, vm.namespace, vm.guest, vm.owned = fleet, Mock(), Mock(), Mock()
    vm.namespace.name = "hornet-1-vm7"
    vm.vmm = Mock(alive=True, pid=os.getpid())
    fleet.vms.append(vm)
    fleet.running.append(vm)
    return vm


def test_kept_vm_survives_its_fleet_and_is_released_when_it_ends(held: Any) -> None:
    assert held.fleet.keep(held, "test x failed")
    held.fleet.close()
    held.fleet.remove(held)
    held.namespace.host.keep.assert_called_once_with(held.namespace)
    held.vmm.kill.assert_not_called()
    assert read_state(held.directory / STATE_FILE).kept == "test x failed"
    assert f" vm ssh {held.name}" in "\n".join(how_to_enter(Fleet.kept))
    held.vmm.alive = False
    hold_kept()
    for part in (held.vmm.kill, held.namespace.host.release, held.owned.remove):
        part.assert_called_once()
    assert not Fleet.kept


def test_dead_vm_is_not_kept(held: Any) -> None:
    held.vmm.alive = False
    assert not held.fleet.keep(held, "test x failed")
    held.fleet.close()
    held.vmm.kill.assert_called_once()


@pytest.mark.parametrize("keep_failed", [True, False])
def test_error_keeps_the_vm_that_it_would_remove(keep_failed: bool, held: Any) -> None:
    held.fleet._keep_failed = keep_failed
    with pytest.raises(VMError, match="no answer"), held.fleet:
        raise VMError("no answer")
    assert (held in Fleet.kept) == keep_failed
    for vm in list(Fleet.kept):
        vm.fleet.release(vm)


SPLIT = f"""
import os, sys, time
from {fork_run.__module__} import RunInChild, detach, fork_run
child = fork_run()
if not isinstance(child, RunInChild):
    os._exit(child)
if "hold" not in sys.argv:
    sys.exit(5)
print("what the run found")
{detach.__name__}()
child.hand_over(3)
open(sys.argv[1], "w").write(str(os.getpid()))
time.sleep(60)
"""


def test_a_run_ends_for_its_caller_while_its_process_goes_on(tmp_path: Path) -> None:
    file = tmp_path / "pid"
    buffered = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    words = [sys.executable, "-c", SPLIT, str(file), "hold"]
    ended = subprocess.run(words, env=buffered, capture_output=True, timeout=30, check=False)
    assert (ended.returncode, ended.stdout) == (3, b"what the run found\n")
    while not (file.exists() and file.read_text()):
        pass
    pid = int(file.read_text())
    assert os.getsid(pid) == pid
    os.kill(pid, 15)


def test_a_run_without_kept_vms_ends_with_its_own_exit_code() -> None:
    assert subprocess.run([sys.executable, "-c", SPLIT], timeout=30, check=False).returncode == 5
