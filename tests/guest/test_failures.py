"""VMs that die, fill their disk or flood: whoever waits on one is told at once, and the others do not notice."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

from hornet.errors import GuestError, HornetError
from hornet.host.proc import run
from hornet.host.workspace import Workspace
from hornet.network import HostNet
from hornet.scenarios.agent_client import AgentClient
from hornet.snapshot import Bundle
from hornet.spec.model import Spec
from hornet.vm.fleet import VM, Fleet
from hornet.vm.guest_script import MAX_OUTPUT_BYTES
from hornet.vm.snapshotting import origin_of_child, take_snapshot
from hornet.vmm.failure import VMFailedError
from hornet.vmm.qemu.machine import QemuVM
from hornet.vmm.transcript import FILE_MAX_BYTES, HEAD_CHARS, TAIL_CHARS
from hornet_fixtures.under_test import Image

pytestmark = pytest.mark.guest

# What is waited for would take WAIT_S; its end must be noticed in a fraction of that.
WAIT_S, NOTICED_S = 60, 10
MIB = 1 << 20


@pytest.fixture
def disposable_vm(fleet: Fleet, bundle: Bundle) -> Iterator[VM]:
    """A restored VM that is not used any more afterwards."""
    vm = fleet.restore(bundle)
    yield vm
    fleet.remove(vm)


def kill_vmm(vm: VM) -> None:
    os.kill(vm.vmm.pid, signal.SIGKILL)


def killed(waiting: Future[object], vm: VM) -> str:
    """What a wait says when its VM's VMM is killed."""
    with pytest.raises(TimeoutError):
        waiting.result(0.5)
    kill_vmm(vm)
    error = waiting.exception(NOTICED_S)
    assert isinstance(error, VMFailedError), error
    return error.message


Wait = Callable[[VM, AgentClient], object]
WAITS: dict[str, Wait] = {
    "a script": lambda vm, agent: vm.guest.run("echo begun >/dev/console; sleep 60", WAIT_S),
    "a line": lambda vm, agent: vm.vmm.console.wait_for("never printed", WAIT_S),
    "an answer": lambda vm, agent: agent.answer("never asked"),
    "a connection": lambda vm, agent: agent.accept(WAIT_S),
}
LATER: list[Wait] = [lambda vm, agent: vm.vmm.pause(), lambda vm, agent: vm.guest.host_key(WAIT_S)]


@pytest.mark.parametrize("wait", WAITS)
def test_killed_vmm_ends_every_wait_with_its_last_output(wait: str, disposable_vm: VM, spec: Spec) -> None:
    disposable_vm.guest.check_output("echo these are the last words >/dev/console", WAIT_S)
    with AgentClient(disposable_vm, spec) as agent, ThreadPoolExecutor(1) as pool:
        said = killed(pool.submit(WAITS[wait], disposable_vm, agent), disposable_vm)
        assert f"its VMM (process {disposable_vm.vmm.pid}) was killed by SIGKILL" in said
        assert "these are the last words" in said
        for later in [*WAITS.values(), *LATER]:
            with pytest.raises(VMFailedError, match="SIGKILL"):
                later(disposable_vm, agent)


PAUSED_WAITS: dict[str, Callable[[VM], object]] = {
    "a reply": lambda vm: vm.guest.await_reply(WAIT_S),
    "a port": lambda vm: vm.guest.await_port(WAIT_S),
    "a login": lambda vm: vm.guest.wait_ready(WAIT_S),
    "a host key": lambda vm: vm.guest.host_key(WAIT_S),
}


@pytest.mark.parametrize("wait", PAUSED_WAITS)
def test_vmm_killed_while_paused_ends_every_wait(wait: str, disposable_vm: VM) -> None:
    disposable_vm.vmm.pause()
    with ThreadPoolExecutor(1) as pool:
        assert "SIGKILL" in killed(pool.submit(PAUSED_WAITS[wait], disposable_vm), disposable_vm)


def test_vmm_killed_during_restore_is_reported(fleet: Fleet, bundle: Bundle) -> None:
    with pytest.raises(VMFailedError, match="SIGKILL"):
        fleet.restore(bundle, before_resume=kill_vmm)


def test_vmm_killed_during_boot_is_reported(fleet: Fleet, kernel: Path, image: Image) -> None:
    before = set(fleet.vms)
    with ThreadPoolExecutor(1) as pool:
        booting = pool.submit(fleet.boot, kernel, image.path)
        while not (found := [vm for vm in fleet.vms if vm not in before and hasattr(vm, "guest")]):
            assert not booting.done()
        found[0].vmm.console.wait_for("hornetos: userland", WAIT_S)
        kill_vmm(found[0])
        error = booting.exception(NOTICED_S)
    assert isinstance(error, VMFailedError)
    assert "SIGKILL" in error.message


def test_vmm_killed_during_a_snapshot_publishes_nothing(
    fleet: Fleet, bundle: Bundle, spec: Spec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    vm = fleet.restore(bundle, snapshottable=True)
    pause = vm.vmm.pause

    def pause_and_die() -> None:
        pause()
        kill_vmm(vm)

    monkeypatch.setattr(vm.vmm, "pause", pause_and_die)
    with pytest.raises(VMFailedError, match="SIGKILL"):
        take_snapshot(vm, Workspace(tmp_path), spec, version="child", origin=origin_of_child(vm, spec))
    assert not [path for path in Workspace(tmp_path).snapshots.iterdir() if not path.name.endswith(".lock")]
    fleet.remove(vm)


def test_vmm_killed_while_saving_state_is_reported(fleet: Fleet, bundle: Bundle) -> None:
    """QEMU reports the end of a migration with an event only, which a killed QEMU never sends."""
    vm = fleet.restore(bundle, snapshottable=True)
    with ThreadPoolExecutor(1) as pool:
        assert isinstance(vm.vmm, QemuVM)
        assert "SIGKILL" in killed(pool.submit(vm.vmm._qmp.wait_migration, WAIT_S), vm)
    fleet.remove(vm)


def test_a_stopped_vmm_is_named_by_the_timeout(disposable_vm: VM) -> None:
    disposable_vm.guest.check_output("true", WAIT_S)
    os.kill(disposable_vm.vmm.pid, signal.SIGSTOP)
    for wait in (
        lambda: disposable_vm.guest.run("true", 1),
        lambda: disposable_vm.guest.await_port(1),
        lambda: disposable_vm.guest.await_reply(1),
        lambda: disposable_vm.vmm.console.wait_for("never printed", 1),
    ):
        with pytest.raises(HornetError, match=rf"process {disposable_vm.vmm.pid}\) is stopped \(state T\)"):
            wait()
    os.kill(disposable_vm.vmm.pid, signal.SIGCONT)
    assert disposable_vm.guest.check_output("echo alive", WAIT_S) == "alive\n"


def test_killed_ssh_session_is_named_and_the_guest_survives(disposable_vm: VM) -> None:
    with pytest.raises(GuestError, match="SSH connection ended before the script did"):
        disposable_vm.guest.run("echo begun; kill -9 $PPID; sleep 60", WAIT_S)
    assert disposable_vm.guest.check_output("echo alive", WAIT_S) == "alive\n"


def test_killed_shell_is_distinguished_from_lost_connection(disposable_vm: VM) -> None:
    assert disposable_vm.guest.run("kill -9 $$; sleep 60", WAIT_S).exit_code == -1


def test_failed_script_is_an_error_with_its_output(disposable_vm: VM) -> None:
    with pytest.raises(GuestError, match=r"exit code 3, expected 0: 'echo odd >&2; exit 3' printed 'odd\\n'"):
        disposable_vm.guest.check_output("echo odd >&2; exit 3", WAIT_S)
    assert disposable_vm.guest.check_output("echo even; echo odd >&2", WAIT_S) == "even\n"


def test_a_panic_ends_a_script(disposable_vm: VM) -> None:
    with pytest.raises(VMFailedError, match="kernel panic"):
        disposable_vm.guest.run(
            "mount -o remount,errors=panic /; echo 1 >/sys/fs/ext4/vda/trigger_fs_error; sleep 60", WAIT_S
        )


# --- Output -----------------------------------------------------------------------------------------------------------


def test_both_streams_of_a_script_are_read_together(disposable_vm: VM) -> None:
    script = f"head -c {2 * MIB} /dev/zero | tr '\\0' e >&2; echo done; exit 3"
    result = disposable_vm.guest.run(script, WAIT_S)
    assert (result.stdout, len(result.stderr), result.exit_code) == ("done\n", 2 * MIB, 3)


def test_flood_of_output_is_truncated_with_a_notice(disposable_vm: VM) -> None:
    size = 3 * MAX_OUTPUT_BYTES
    result = disposable_vm.guest.run(f"head -c {size} /dev/zero >&2; head -c {size} /dev/zero; exit 5", WAIT_S)
    assert result.exit_code == 5
    for text in (result.stdout, result.stderr):
        assert text.rstrip("\n").endswith(f"[hornetos: {size - MAX_OUTPUT_BYTES} bytes cut here]")
        assert len(text) < MAX_OUTPUT_BYTES + 100


def test_background_job_does_not_delay_a_script(disposable_vm: VM) -> None:
    result = disposable_vm.guest.run("sleep 1000 & echo begun; echo odd >&2; exit 4", WAIT_S)
    assert (result.stdout, result.stderr, result.exit_code) == ("begun\n", "odd\n", 4)
    result = disposable_vm.guest.run("while :; do echo again; sleep 0.1; done & exit 6", WAIT_S)
    assert result.exit_code == 6


def test_script_longer_than_every_buffer_runs_completely(disposable_vm: VM) -> None:
    """The shell prints more than all buffers hold while its script is still being sent."""
    script = f"head -c {4 * MIB} /dev/zero >&2\n" + f"# {'x' * 1000}\n" * 3000 + "echo the end\n"
    result = disposable_vm.guest.run(script, WAIT_S)
    assert (result.stdout, len(result.stderr)) == ("the end\n", 4 * MIB)


def test_console_flood_is_bounded_and_does_not_affect_others(fleet: Fleet, bundle: Bundle, disposable_vm: VM) -> None:
    disposable_vm.guest.check_output(
        "cat /dev/zero | tr '\\0' '\\n' >/dev/console 2>&1 </dev/null & yes >/dev/console </dev/null 2>&1 &", WAIT_S
    )
    other = fleet.restore(bundle)
    other.guest.check_output("echo still heard >/dev/console", WAIT_S)
    other.vmm.console.wait_for("still heard", WAIT_S)
    fleet.remove(other)
    assert disposable_vm.guest.check_output("echo still there >/dev/console; echo alive", WAIT_S) == "alive\n"
    disposable_vm.vmm.console.wait_for("still there", WAIT_S)
    assert len(disposable_vm.vmm.console.text) < HEAD_CHARS + TAIL_CHARS + 100
    assert disposable_vm.vmm.console.path.stat().st_size <= FILE_MAX_BYTES


# --- A full disk ------------------------------------------------------------------------------------------------------


@pytest.fixture
def full_disk_fleet(spec: Spec, new_fleet: Callable[..., Fleet], bundle: Bundle, tmp_path: Path) -> Iterator[Fleet]:
    """A fleet on a file system that has little room for what a guest writes."""
    small = tmp_path / "small"
    small.mkdir()
    room = bundle.rootfs.stat().st_blocks * 512 + 8 * MIB
    run(["mount", "-t", "tmpfs", "-o", f"size={room}", "tmpfs", small], timeout_s=20)
    try:
        with (
            HostNet.private(spec.network, f"hornet-{os.getpid()}-full-") as net,
            new_fleet(workspace=Workspace(tmp_path / "home"), host_net=net) as fleet,
        ):
            fleet.workspace = Workspace(small)
            yield fleet
    finally:
        run(["umount", small], timeout_s=20)


def test_full_host_disk_under_a_vm_is_reported_at_once(full_disk_fleet: Fleet, bundle: Bundle) -> None:
    vm = full_disk_fleet.restore(bundle)
    with pytest.raises(VMFailedError) as caught:
        vm.guest.run("dd if=/dev/urandom of=/root/big bs=1M count=32 && sync; sleep 60", WAIT_S)
    assert f"{full_disk_fleet.workspace.root} has 0 MB free" in caught.value.message
    assert "No space left on device" in caught.value.message
    assert caught.value.hint.startswith("free space in ")
    with pytest.raises(VMFailedError, match="0 MB free"):
        vm.vmm.console.wait_for("never printed", WAIT_S)
