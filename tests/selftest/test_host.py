"""`hornetos host`: a good host has no problem, and each thing that is missing is named; lanes say why not."""

from __future__ import annotations

import copy
import json
import os
import sys
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from typer.testing import CliRunner

from hornet.checks.host_readiness import ABILITIES, host_abilities, host_problems, host_remarks
from hornet.errors import HostError, VMError
from hornet.host.facts import fingerprint, host_facts, with_sudo
from hornet.host.tools import HostTool, all_tools
from hornet.host.workspace import Workspace
from hornet.installation import SOURCE
from hornet.spec.model import Spec
from hornet.vm import lanes
from hornet.vm.lanes import LaneState, _kept, best_lane
from hornet.vmm.registry import LANE_NAMES, lane_named, vmm_programs
from hornet_cli.app import app

TOOLS = {tool.name: tool for tool in all_tools(vmm_programs())}
REQUIRED_TOOLS = [name for name, tool in TOOLS.items() if tool.required]
GOOD: dict[str, Any] = {
    "root": True,
    "apt": True,
    "cap_net_admin": True,
    "tun": True,
    "reflink": True,
    "cgroup": 2,
    "architecture": "x86_64",
    "home": "/opt/swarm",
    "home_file_system": "ext4",
    "forwarding": "works",
    "loop_devices": "work",
    "swap_mb": 0,
    "ksm": False,
    "tsc_mhz": 2600.0,
    "tuning": {"swappiness": "60"},
    "tools": dict.fromkeys(TOOLS, "1.0"),
    "packages": {name: tool.source for name, tool in TOOLS.items()},
}
LANES = [
    LaneState("firecracker/kvm", False, "no firecracker on PATH"),
    LaneState("qemu/kvm", True, "the kernel under test runs a program"),
    LaneState("qemu/tcg", True, "the kernel under test runs a program"),
]


def changed(**facts: Any) -> dict[str, Any]:
    return {**copy.deepcopy(GOOD), **facts}


def test_a_good_host_has_no_problem_and_no_remark() -> None:
    assert host_problems(GOOD, LANES, REQUIRED_TOOLS) == []
    assert host_remarks(GOOD, LANES) == []


@pytest.mark.parametrize("tool", REQUIRED_TOOLS)
def test_each_missing_tool_is_named_with_its_package(tool: str) -> None:
    (problem,) = host_problems(changed(tools={**GOOD["tools"], tool: None}), LANES, REQUIRED_TOOLS)
    assert tool in problem
    assert TOOLS[tool].source in problem


@pytest.mark.parametrize(
    ("facts", "named"),
    [
        ({"root": False}, "sudo"),
        ({"cap_net_admin": False}, "CAP_NET_ADMIN"),
        ({"tun": False}, "/dev/net/tun"),
        ({"architecture": "aarch64"}, "this machine is aarch64, expected x86_64"),
        ({"forwarding": "ip_forward is not 1 and cannot be set: Read-only file system"}, "--sysctl"),
    ],
)
def test_each_missing_right_or_device_is_named(facts: dict[str, Any], named: str) -> None:
    (problem,) = host_problems(changed(**facts), LANES, REQUIRED_TOOLS)
    assert named in problem


def obstacles(**facts: Any) -> dict[str, str]:
    return {title.partition(" (")[0]: why for title, why in host_abilities(changed(**facts)).items() if why}


def test_a_good_host_can_do_everything() -> None:
    assert obstacles() == {}


@pytest.mark.parametrize(
    ("facts", "unable", "named"),
    [
        ({"root": False}, {"run VMs", "build"}, "sudo"),
        ({"apt": False}, {"build"}, "Debian 12"),
        ({"tools": {**GOOD["tools"], "bwrap": None}}, {"judge files", "run VMs"}, "bubblewrap"),
    ],
    ids=["without root", "another distribution", "without bubblewrap"],
)
def test_what_a_host_lacks_is_named_for_each_command(facts: dict[str, Any], unable: set[str], named: str) -> None:
    found = obstacles(**facts)
    assert set(found) == unable
    assert all(named in why for why in found.values())


def test_every_ability_names_tools_that_are_known() -> None:
    assert {name for ability in ABILITIES for name in ability.tools} <= set(TOOLS)


def test_every_reason_for_a_missing_lane_is_reported() -> None:
    broken = [LaneState(state.lane, False, f"reason {number}") for number, state in enumerate(LANES)]
    (problem,) = host_problems(GOOD, broken, REQUIRED_TOOLS)
    assert all(state.reason in problem for state in broken)
    with pytest.raises(HostError, match="reason 2"):
        best_lane(broken)


def test_lanes_that_are_not_proved_are_no_problem_but_a_remark() -> None:
    unproved = [LaneState(state.lane, None, "build a kernel first") for state in LANES]
    assert host_problems(GOOD, unproved, REQUIRED_TOOLS) == []
    assert any("not judged" in remark for remark in host_remarks(GOOD, unproved))


@pytest.mark.parametrize(
    ("facts", "named"),
    [
        ({"reflink": False}, "reflink"),
        ({"cgroup": 1}, "cgroup v1"),
        ({"home_file_system": "tmpfs"}, "in memory (tmpfs)"),
        ({"swap_mb": 2048}, "swap is on (2048 MB)"),
        ({"ksm": True}, "KSM"),
        ({"emulated_cpu": True}, "never judged"),
        ({"tsc_mhz": None}, "time stamp counter"),
        ({"loop_devices": "/dev/loop-control: No such file or directory"}, "no loop devices"),
    ],
)
def test_what_slows_a_host_down_is_a_remark(facts: dict[str, Any], named: str) -> None:
    (remark,) = host_remarks(changed(**facts), LANES)
    assert named in remark


def test_the_best_lane_is_the_first_that_works() -> None:
    assert str(best_lane(LANES)) == "qemu/kvm"


def test_unknown_lane_is_rejected_with_the_known_ones() -> None:
    with pytest.raises(HostError, match=f"use one of: {', '.join(LANE_NAMES)}"):
        lane_named("qemu/hax")


def test_a_missing_vmm_is_not_in_the_fingerprint() -> None:
    programs = {"here": HostTool("true", None), "absent": HostTool("no-such-vmm", None)}
    found = fingerprint(programs)
    assert "here" in found
    assert "absent" not in found


def test_the_facts_of_this_host_are_what_the_judges_read(tmp_path: Path) -> None:
    facts = host_facts(Workspace(tmp_path), vmm_programs())
    assert set(GOOD) <= set(facts)
    assert set(facts["tools"]) == set(TOOLS)
    json.dumps(facts)


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The command, in a home of its own; lanes and facts as the test says (a real boot is a guest test's matter)."""
    monkeypatch.setenv("HORNET_HOME", str(tmp_path))

    def run(*options: str, lanes: list[LaneState] = LANES, facts: dict[str, Any] = GOOD) -> Any:
        monkeypatch.setattr("hornet.vm.lanes.probe_lanes", lambda workspace, kernel, spec: lanes)
        monkeypatch.setattr("hornet.host.facts.host_facts", lambda workspace, vmms: facts)
        return CliRunner().invoke(app, ["host", *options])

    return run


def test_json_has_everything(command: Any) -> None:
    result = command("--json")
    shown = json.loads(result.stdout)
    assert result.exit_code == 0
    assert shown["host"] == GOOD
    assert [lane["lane"] for lane in shown["lanes"]] == [state.lane for state in LANES]
    assert shown["problems"] == shown["remarks"] == []


def test_the_table_says_why_a_lane_does_not_work(command: Any) -> None:
    result = command()
    assert result.exit_code == 0
    assert "no firecracker on PATH" in result.stdout


def test_a_host_that_lacks_something_is_exit_code_1(command: Any) -> None:
    result = command(facts=changed(root=False))
    assert result.exit_code == 1
    assert "problem: not running as root" in result.stdout


def test_a_host_whose_lanes_could_not_be_tried_is_not_judged(command: Any, tmp_path: Path) -> None:
    kernel = tmp_path / "vmlinux"
    kernel.write_bytes(b"a kernel")
    untried = [LaneState(state.lane, None, f"no room {number}") for number, state in enumerate(LANES)]
    assert command(lanes=untried).exit_code == 0, "without a kernel there is nothing to try"
    result = command("--kernel", str(kernel), lanes=untried)
    assert isinstance(result.exception, HostError)
    assert all(state.reason in result.exception.message for state in untried)
    assert command("--kernel", str(kernel), lanes=[*untried[:2], LANES[2]]).exit_code == 0


@pytest.mark.parametrize(
    ("lane", "timed_out", "usable"),
    [
        ("qemu/tcg", True, None),
        ("qemu/tcg", False, False),
        ("qemu/kvm", True, False),
    ],
)
def test_an_emulator_that_is_slow_may_work_the_next_time(
    lane: str, timed_out: bool, usable: bool | None, spec: Spec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class SlowVM:
        """Its console is its own."""

        text = "Linux version 6.1"

        def __init__(self) -> None:
            self.console = self

        def wait_for(self, pattern: str, timeout_s: float) -> None:
            raise VMError("no such line", timed_out=timed_out)

        def kill(self) -> None: ...

    monkeypatch.setattr(lanes, "driver_of", lambda lane: SimpleNamespace(boot=lambda *_, **__: SlowVM()))
    state = lanes._boot_to_first_program(lane_named(lane), Workspace(tmp_path), tmp_path / "vmlinux", spec)
    assert state.usable is usable
    why = "no program ran within 20 s" if timed_out else "no such line"
    assert state.reason == f"{why}; the console's last line: 'Linux version 6.1'"


def test_a_kernel_that_is_not_there_is_a_clear_error(command: Any) -> None:
    result = command("--kernel", "/no/such/vmlinux")
    assert isinstance(result.exception, HostError)


@pytest.mark.parametrize(
    ("argv", "command"),
    [
        (["/v/bin/pytest", "-m", "conformance"], "sudo /v/bin/pytest -m conformance"),
        (["/v/lib/pytest/__main__.py", "a b"], f"sudo {sys.executable} -m pytest 'a b'"),
        (["/x/hornet_cli/__main__.py", "run"], f"sudo {SOURCE}/hornetos run"),
    ],
)
def test_sudo_hint_contains_the_whole_command(argv: list[str], command: str) -> None:
    assert with_sudo(argv) == command


DAMAGED_PROOFS = [b"", b"{", b"[]", b'{"lane": 1}', b'{"lane": "qemu/tcg", "usable": "yes", "reason": ""}']


@pytest.mark.parametrize("damage", DAMAGED_PROOFS)
def test_damaged_lane_proof_is_ignored(damage: bytes, tmp_path: Path) -> None:
    proof = tmp_path / "proof.json"
    proof.write_bytes(json.dumps(asdict(LaneState("qemu/tcg", True, "it works"))).encode())
    assert _kept(proof) == LaneState("qemu/tcg", True, "it works")
    proof.write_bytes(damage)
    assert _kept(proof) is None
    proof.unlink()
    os.mkfifo(proof)
    assert _kept(proof) is None


def test_swap_and_ksm_are_in_the_record(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hornet.host.facts.swap_mb", lambda: 2048)
    monkeypatch.setattr("hornet.host.facts.ksm_runs", lambda: True)
    assert {"swap_mb": 2048, "ksm": True}.items() <= fingerprint({}).items()
    monkeypatch.setattr("hornet.host.facts.swap_mb", lambda: 0)
    monkeypatch.setattr("hornet.host.facts.ksm_runs", lambda: False)
    assert {"swap_mb", "ksm"}.isdisjoint(fingerprint({}))
