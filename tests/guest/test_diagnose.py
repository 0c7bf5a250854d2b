"""Every cause that `hornetos diagnose` names, provoked on a real VM; the commands that it prints put it right.

Not provoked: a boot that waits for entropy. This kernel makes its own within a second, whatever the machine lacks, so
that branch is proved on the console's text alone (tests/selftest/test_diagnose.py).
"""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from hornet.errors import VMError
from hornet.host.proc import run
from hornet.host.workspace import Workspace
from hornet.network import HostNet
from hornet.procedures.diagnose import State, Step, find_vm, observe, walk
from hornet.snapshot import Bundle
from hornet.spec.model import Spec
from hornet.vm.fleet import VM, Fleet
from hornet.vm.guest import SshKey, ssh_key
from hornet.vm.state import STATE_FILE
from hornet_cli.app import app
from hornet_fixtures.under_test import Image

pytestmark = pytest.mark.guest

COMMAND_TIMEOUT_S = 20
GUEST_TIMEOUT_S = 60


@pytest.fixture(scope="module")
def shared_vm(fleet: Fleet, bundle: Bundle) -> Iterator[VM]:
    """A restored VM that is broken and repaired again."""
    vm = fleet.restore(bundle)
    yield vm
    fleet.remove(vm)


@pytest.fixture
def disposable_vm(fleet: Fleet, bundle: Bundle) -> Iterator[VM]:
    """A restored VM that nothing can repair afterwards."""
    vm = fleet.restore(bundle)
    yield vm
    fleet.remove(vm)


def diagnose(vm: VM, workspace: Workspace, spec: Spec, key: SshKey | None = None) -> dict[str, Step]:
    """The steps by name."""
    known = find_vm(workspace, spec, vm.name)
    return {step.name: step for step in walk(known.place, observe(replace(known, key=key) if key else known))}


def causes(steps: dict[str, Step]) -> list[str]:
    return [name for name, step in steps.items() if step.state is State.BAD]


def shell(command: str) -> None:
    run(["sh", "-c", command], timeout_s=COMMAND_TIMEOUT_S)


# What breaks each part of the network, twice. {ns}, {host}: the namespaces; {veth}: the host's end of the veth pair.
FAULTS = {
    "removed": {
        "bridge": "ip -n {ns} addr flush dev br-vm",
        "tap": "ip -n {ns} link set tap0 nomaster",
        "uplink": "ip -n {ns} route del default",
        "NAT": "ip netns exec {ns} nft flush ruleset",
    },
    "off": {
        "bridge": "ip -n {ns} link set br-vm down",
        "tap": "ip -n {ns} link set tap0 down",
        "uplink": "ip -n {host} addr flush dev {veth}",
        "NAT": "ip netns exec {ns} sysctl -q -w net.ipv4.ip_forward=0",
    },
}


@pytest.mark.requirement("trouble-bridge", "trouble-tap", "trouble-nat")
@pytest.mark.parametrize("faults", FAULTS.values(), ids=FAULTS)
def test_broken_network_is_named_and_printed_commands_repair_it(
    faults: dict[str, str], shared_vm: VM, workspace: Workspace, spec: Spec, host_net: HostNet
) -> None:
    names = {
        "ns": shared_vm.namespace.name,
        "host": host_net.namespace,
        "veth": shared_vm.namespace.plan.host_veth,
    }
    for command in faults.values():
        shell(command.format(**names))
    steps = diagnose(shared_vm, workspace, spec)
    assert causes(steps) == list(faults)
    for name in faults:
        repaired = CliRunner().invoke(app, shlex.split(steps[name].command)[1:])
        assert repaired.exit_code == 0, repaired.output
    assert causes(diagnose(shared_vm, workspace, spec)) == []


@pytest.mark.requirement("trouble-console")
def test_failed_sshd_is_named_with_its_console_output(shared_vm: VM, workspace: Workspace, spec: Spec) -> None:
    # Nothing can run what /dev/null covers; the session that is open goes on.
    supervised = 'grep -q "^PPid:.$(pidof supervise-daemon)$" /proc/$p/status'
    kill = f"for p in $(pidof sshd); do if {supervised}; then kill $p; fi; done"
    shared_vm.guest.check_output(f"mount --bind /dev/null /usr/sbin/sshd && {kill}", GUEST_TIMEOUT_S)
    shared_vm.vmm.console.wait_for("failed to exec `/usr/sbin/sshd'", GUEST_TIMEOUT_S)
    steps = diagnose(shared_vm, workspace, spec)
    assert causes(steps) == ["sshd"]
    assert "failed to exec `/usr/sbin/sshd'" in steps["sshd"].seen
    shared_vm.guest.check_output("umount /usr/sbin/sshd", GUEST_TIMEOUT_S)
    shared_vm.guest.close()
    shared_vm.guest.wait_ready(GUEST_TIMEOUT_S)
    assert causes(diagnose(shared_vm, workspace, spec)) == []


def test_guest_that_ignores_pings_is_not_dead(shared_vm: VM, workspace: Workspace, spec: Spec) -> None:
    switch = "/proc/sys/net/ipv4/icmp_echo_ignore_all"
    shared_vm.guest.check_output(f"echo 1 >{switch}", GUEST_TIMEOUT_S)
    steps = diagnose(shared_vm, workspace, spec)
    shared_vm.guest.check_output(f"echo 0 >{switch}", GUEST_TIMEOUT_S)
    assert causes(steps) == []
    assert "ignores pings" in steps["guest"].seen


def test_a_key_that_the_guest_refuses_is_named(shared_vm: VM, workspace: Workspace, spec: Spec, tmp_path: Path) -> None:
    steps = diagnose(shared_vm, workspace, spec, ssh_key(Workspace(tmp_path)))
    assert causes(steps) == ["login"]
    assert "does not accept the key" in steps["login"].seen


@pytest.mark.requirement("trouble-disk-full")
def test_full_guest_disk_is_named_with_its_biggest_directories(shared_vm: VM, workspace: Workspace, spec: Spec) -> None:
    fill = "d=/root; touch $d/filler || d=/tmp; dd if=/dev/zero of=$d/filler bs=64k 2>&1 | grep -q 'No space left'"
    shared_vm.guest.check_output(fill, GUEST_TIMEOUT_S)
    steps = diagnose(shared_vm, workspace, spec)
    assert causes(steps) == ["disk space"]
    assert re.search(r"/(root|tmp) \d+ MiB", steps["disk space"].seen)
    shared_vm.guest.check_output("rm -f /root/filler /tmp/filler && sync", GUEST_TIMEOUT_S)
    assert causes(diagnose(shared_vm, workspace, spec)) == []


@pytest.mark.requirement("trouble-ext4", "trouble-console")
def test_disk_damage_and_the_panic_after_it_are_named(disposable_vm: VM, workspace: Workspace, spec: Spec) -> None:
    blocks = run(["debugfs", "-R", "blocks /etc/hornetos", disposable_vm.disk], timeout_s=COMMAND_TIMEOUT_S).output
    block = int(re.findall(r"^(\d+)", blocks, re.MULTILINE)[0])
    with disposable_vm.disk.open("r+b") as disk:
        os.pwrite(disk.fileno(), b"\xff" * 4096, block * 4096)
    # ls ignores the error: the directory has files, and none is listed.
    listed = disposable_vm.guest.check_output("echo 3 >/proc/sys/vm/drop_caches && ls /etc/hornetos", GUEST_TIMEOUT_S)
    assert listed == "", "the damaged directory can be read"
    steps = diagnose(disposable_vm, workspace, spec)
    assert causes(steps) == ["ext4"]
    assert "changed after the snapshot" in steps["ext4"].cause
    assert "new-version" in steps["ext4"].fix

    trigger = "(sleep 0.2; echo 1 >/sys/fs/ext4/vda/trigger_fs_error) >/dev/null 2>&1 &"
    disposable_vm.guest.check_output(f"mount -o remount,errors=panic / && {{ {trigger} }}", GUEST_TIMEOUT_S)
    disposable_vm.vmm.console.wait_for("panic forced after error", GUEST_TIMEOUT_S)
    steps = diagnose(disposable_vm, workspace, spec)
    assert causes(steps)[0] == "console"
    assert "Kernel panic - not syncing: EXT4-fs" in steps["console"].seen


@pytest.mark.requirement("trouble-namespace")
def test_missing_namespace_and_missing_vmm_are_named(disposable_vm: VM, workspace: Workspace, spec: Spec) -> None:
    shell(f"ip netns delete {disposable_vm.namespace.name}")
    steps = diagnose(disposable_vm, workspace, spec)
    assert causes(steps) == ["namespace"]
    assert steps["guest"].state is State.UNSEEN
    disposable_vm.vmm.kill()
    assert causes(diagnose(disposable_vm, workspace, spec))[0] == "VMM"


@contextmanager
def booting(fleet: Fleet, kernel: Path, image: Path) -> Iterator[VM]:
    """A VM whose boot does not come to its end, while it tries."""
    failures: list[BaseException] = []

    def boot() -> None:
        try:
            fleet.boot(kernel, image)
        except VMError as error:
            failures.append(error)

    thread = threading.Thread(target=boot)
    thread.start()
    try:
        vm = _started(fleet)
        yield vm
        os.kill(vm.vmm.pid, signal.SIGKILL)
    finally:
        thread.join(GUEST_TIMEOUT_S)
    assert failures


def _started(fleet: Fleet) -> VM:
    deadline_s = time.monotonic() + GUEST_TIMEOUT_S
    while not (fleet.vms and (fleet.vms[0].directory / STATE_FILE).exists()):
        assert time.monotonic() < deadline_s, "the VM was not started"
        time.sleep(0.05)
    return fleet.vms[0]


@pytest.mark.requirement("trouble-console")
@pytest.mark.parametrize(
    ("boot_args", "said", "words"),
    [("quiet", "", "the console is empty"), ("loglevel=7", "Run /bin/cat as init", "init printed nothing")],
)
def test_stalled_boot_is_named(
    boot_args: str,
    said: str,
    words: str,
    spec: Spec,
    workspace: Workspace,
    new_fleet: Callable[..., Fleet],
    kernel: Path,
    image: Image,
) -> None:
    args = spec.machine.boot_args.replace("quiet loglevel=4", f"{boot_args} init=/bin/cat")
    stuck = new_fleet(boot_args=args)
    with stuck, booting(stuck, kernel, image.path) as vm:
        vm.vmm.console.wait_for(said, GUEST_TIMEOUT_S)
        steps = diagnose(vm, workspace, spec)
    assert causes(steps) == ["console", "guest"]
    assert words in steps["console"].seen


def test_text_and_json_name_the_same_cause(
    shared_vm: VM, monkeypatch: pytest.MonkeyPatch, workspace: Workspace
) -> None:
    monkeypatch.setenv("HORNET_HOME", str(workspace.root))
    shell(f"ip -n {shared_vm.namespace.name} link set tap0 nomaster")
    text = CliRunner().invoke(app, ["diagnose", shared_vm.name])
    shell(f"ip -n {shared_vm.namespace.name} link set tap0 master br-vm")
    assert text.exit_code == 1
    assert "✗ tap:" in text.stdout
    assert "begin with tap" in text.stdout
    shown = CliRunner().invoke(app, ["diagnose", shared_vm.name, "--json"])
    assert shown.exit_code == 0
    assert {step["state"] for step in json.loads(shown.stdout)["steps"]} == {State.GOOD}
