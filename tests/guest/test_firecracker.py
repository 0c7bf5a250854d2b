"""The Firecracker driver on the real thing, with a guest of a few instructions (tests/support/tiny_guest.py)."""

from __future__ import annotations

import json
import re
from pathlib import Path
from string import ascii_lowercase

import pytest

from hornet.errors import VMError
from hornet.spec.model import Spec
from hornet.vm.memory import memory_split
from hornet.vmm.firecracker.driver import DRIVER
from hornet.vmm.open_files import check_own_disk
from tests.support.api_description import ApiDescription
from tests.support.tiny_guest import (
    LANE,
    LIMIT_S,
    MEMORY_MIB,
    MakeConfig,
    Started,
    letters,
    machine,
    program,
    require_firecracker,
    started,
)

pytestmark = pytest.mark.guest
__all__ = ["machine", "program", "started"]  # fixtures


@pytest.fixture(scope="module", autouse=True)
def _firecracker_works() -> None:
    require_firecracker()


def test_requests_and_answers_are_logged(program: Path, machine: MakeConfig, started: Started) -> None:
    config = machine("logged")
    vm = started(DRIVER.boot(LANE, config, kernel=program, boot_args=""))
    with pytest.raises(VMError, match="HTTP 400"):
        vm.snapshot(config.directory / "mem", config.directory / "state")  # it is not paused
    lines = [json.loads(line) for line in (config.directory / "api.jsonl").read_text().splitlines()]
    assert ("PUT", "/actions", 204) in [(x["request"]["method"], x["request"]["path"], x["answer"]) for x in lines[:-1]]
    assert lines[-1]["request"]["path"] == "/snapshot/create"
    assert "HTTP 400" in lines[-1]["error"]


def test_requests_follow_the_api_description(
    program: Path, machine: MakeConfig, started: Started, tmp_path: Path, pytestconfig: pytest.Config
) -> None:
    """Everything that the driver sends in the life of a VM and of its clone."""
    if not (given := pytestconfig.getoption("api_description")):
        pytest.skip("not judged: no --api-description=FILE, Firecracker's src/firecracker/swagger/firecracker.yaml")
    description = ApiDescription.read(Path(given))
    configs = [machine("parent"), machine("clone")]
    parent = started(DRIVER.boot(LANE, configs[0], kernel=program, boot_args=""))
    parent.console.wait_for("^b$", LIMIT_S)
    with pytest.raises(VMError, match="not activated"):  # the guest has no driver; the request is judged all the same
        parent.set_balloon(1)
    parent.pause()
    memory, state = tmp_path / "vm.mem", tmp_path / "vm.snapshot"
    parent.snapshot(memory, state)
    clone = started(DRIVER.restore(LANE, configs[1], memory=memory, state=state))
    clone.resume()
    clone.reported_load_ms()
    logs = [(config.directory / "api.jsonl").read_text() for config in configs]
    requests = [json.loads(line)["request"] for log in logs for line in log.splitlines()]
    assert [problem for request in requests for problem in description.problems(request)] == []
    print(f"API {description.version}: {description.coverage(requests)} are used")


def test_two_clones_of_a_booted_guest_continue(
    program: Path, machine: MakeConfig, started: Started, tmp_path: Path
) -> None:
    parent = started(DRIVER.boot(LANE, machine("parent"), kernel=program, boot_args=""))
    parent.console.wait_for("^c$", LIMIT_S)
    parent.pause()
    memory, state = tmp_path / "vm.mem", tmp_path / "vm.snapshot"
    parent.snapshot(memory, state)
    last = letters(parent)[-1]
    parent.kill()
    assert memory.stat().st_size == MEMORY_MIB << 20
    before = memory.read_bytes()
    following = ascii_lowercase[(ascii_lowercase.index(last) + 1) % len(ascii_lowercase)]
    for name in ("first", "second"):
        clone = started(DRIVER.restore(LANE, machine(name), memory=memory, state=state))
        assert clone.config.phases_ms.keys() == {"vmm_start_ms", "metrics_ms", "load_ms"}
        assert 0 < (clone.reported_load_ms() or 0) <= clone.config.phases_ms["load_ms"]
        clone.resume()
        clone.console.wait_for(f"^{following}$", LIMIT_S)
        # A letter may have been on its way out when the parent was paused.
        assert letters(clone)[:2] in (2 * ascii_lowercase)
        assert memory_split(clone.pid, clone.memory_files()).guest_private > 0
        check_own_disk(clone.pid, clone.config.disk)
    assert memory.read_bytes() == before, "clones never write into the snapshot's memory"


def test_a_restored_guest_reads_its_console(
    program: Path, machine: MakeConfig, started: Started, tmp_path: Path
) -> None:
    """The restore agent of a HornetOS guest receives its commands over the console."""
    parent = started(DRIVER.boot(LANE, machine("parent"), kernel=program, boot_args=""))
    parent.console.wait_for("^b$", LIMIT_S)
    parent.pause()
    memory, state = tmp_path / "vm.mem", tmp_path / "vm.snapshot"
    parent.snapshot(memory, state)
    clone = started(DRIVER.restore(LANE, machine("clone"), memory=memory, state=state))
    clone.resume()
    clone.console.send("A")
    clone.console.wait_for("^A$", LIMIT_S)


def test_a_clone_can_be_snapshotted_again(program: Path, machine: MakeConfig, started: Started, tmp_path: Path) -> None:
    vm = started(DRIVER.boot(LANE, machine("generation0"), kernel=program, boot_args=""))
    vm.console.wait_for("^b$", LIMIT_S)
    for generation in (1, 2):
        vm.pause()
        memory, state = tmp_path / f"{generation}.mem", tmp_path / f"{generation}.snapshot"
        vm.snapshot(memory, state)
        vm.kill()
        vm = started(DRIVER.restore(LANE, machine(f"generation{generation}"), memory=memory, state=state))
        vm.resume()
        vm.console.wait_for("^[a-z]$", LIMIT_S)


def test_firecracker_has_no_rights(
    program: Path, machine: MakeConfig, started: Started, spec: Spec, tmp_path: Path
) -> None:
    """Booted and restored, it is a user of its own without capabilities, and sees nothing of the host but its cell."""
    parent = started(DRIVER.boot(LANE, machine("parent"), kernel=program, boot_args=""))
    parent.console.wait_for("^b$", LIMIT_S)
    parent.pause()
    memory, state = tmp_path / "vm.mem", tmp_path / "vm.snapshot"
    parent.snapshot(memory, state)
    group = spec.firecracker.memory_group
    assert (memory.stat().st_uid, memory.stat().st_gid, memory.stat().st_mode & 0o777) == (0, group, 0o640)
    assert (state.stat().st_uid, state.stat().st_gid, state.stat().st_mode & 0o777) == (0, 0, 0o600)
    clone = started(DRIVER.restore(LANE, machine("clone"), memory=memory, state=state))
    clone.resume()
    clone.console.wait_for("^[a-z]$", LIMIT_S)
    for vm in (parent, clone):
        status = Path(f"/proc/{vm.pid}/status").read_text()
        user = str(vm.config.user)
        for kind in ("Uid", "Gid"):
            assert re.findall(rf"^{kind}:(.*)$", status, re.MULTILINE)[0].split() == [user] * 4
        assert re.findall(r"^Groups:(.*)$", status, re.MULTILINE)[0].split() == [str(group)]
        assert set(re.findall(r"^Cap\w+:\s*(\w+)$", status, re.MULTILINE)) == {"0" * 16}
        assert "NoNewPrivs:\t1" in status
        assert "Seccomp:\t2" in status
        root = Path(f"/proc/{vm.pid}/root")
        assert not (root / "etc/passwd").exists()
        assert not (root / "proc/self").exists()
        assert {path.name for path in (root / "dev").iterdir()} <= {"null", "urandom", "kvm", "net", "userfaultfd"}
    assert parent.config.user != clone.config.user


def test_error_quotes_firecrackers_own_message(
    program: Path, machine: MakeConfig, started: Started, tmp_path: Path
) -> None:
    truncated = tmp_path / "vm.snapshot"
    truncated.write_bytes(b"no snapshot")
    with pytest.raises(VMError) as caught:
        DRIVER.restore(LANE, machine("clone"), memory=program, state=truncated)
    assert "PUT /snapshot/load: HTTP 400" in caught.value.message


def test_invalid_kernel_is_rejected(machine: MakeConfig, tmp_path: Path) -> None:
    kernel = tmp_path / "vmlinux"
    kernel.write_bytes(b"no kernel")
    with pytest.raises(VMError) as caught:
        DRIVER.boot(LANE, machine("hopeless"), kernel=kernel, boot_args="")
    assert "HTTP 400" in caught.value.message
