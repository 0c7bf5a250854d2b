"""The decision tree: a healthy VM has no cause; each thing that can break is named, alone, with what puts it right."""

from __future__ import annotations

import json
from dataclasses import replace
from ipaddress import IPv4Interface, IPv4Network
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hornet.errors import GuestError, VMError
from hornet.host.workspace import Workspace
from hornet.network import AddressPlan
from hornet.network.egress import Egress
from hornet.network.ids import vms_directory
from hornet.network.state import Link, NetFacts, Route
from hornet.procedures.diagnose import State, Step, find_vm, walk
from hornet.procedures.diagnose.observations import FULL_PERCENT, Inside, Observations, Place, Port
from hornet.procedures.diagnose.observe import _percentages, _sizes
from hornet.procedures.diagnose.tree import STEPS
from hornet.spec.model import load_spec
from hornet.vm.state import STATE_FILE, VMState, running_vms

SPEC = load_spec()
NET, PLAN = SPEC.network, AddressPlan(SPEC.network).for_vm(7)
PLACE = Place(NET, PLAN, private="", inner_rules="inner rules", host_rules="host rules")


def a_link(name: str, kind: str, *addresses: IPv4Interface, mac: str = "", master: str | None = None) -> Link:
    return Link(name, 1, kind, mac, 1500, True, NET.interface_group, master, addresses)


def a_net(rules: str, *links: Link, routes: tuple[Route, ...]) -> NetFacts:
    neighbours = {PLAN.host_address.ip: NET.host_veth_mac, PLAN.namespace_address.ip: NET.namespace_veth_mac}
    return NetFacts({link.name: link for link in links}, routes, True, rules, neighbours)


INNER = a_net(
    "inner rules",
    a_link("br-vm", "bridge", NET.gateway_address, mac=NET.gateway_mac),
    a_link("tap0", "tun", master="br-vm"),
    a_link("veth-vm7", "veth", PLAN.namespace_address, mac=NET.namespace_veth_mac),
    routes=(Route(IPv4Network("0.0.0.0/0"), PLAN.host_address.ip, "veth-vm7", True),),
)
HOST = a_net(
    "host rules",
    a_link("veth-vm7-br", "veth", PLAN.host_address, mac=NET.host_veth_mac),
    routes=(Route(PLAN.subnet, PLAN.namespace_address.ip, "veth-vm7-br", True),),
)
BOOTED = "hornetos: userland uptime=1\nhornetos: ready uptime=2\n"
HEALTHY = Observations(
    vmm_alive=True,
    vmm_log="",
    restored=True,
    console="",
    inner=INNER,
    host=HOST,
    egress=Egress(),
    replies=True,
    port=Port.OPEN,
    login_error="",
    inside=Inside({"/": 80, "/tmp": 1}, {"/": 20}, "", "EXT4-fs (vda): mounted filesystem with ordered data mode"),
)
# What a guest that can't be reached leaves unseen.
MUTE: dict[str, Any] = {"replies": False, "port": None, "login_error": None, "inside": None}
NO_SSHD: dict[str, Any] = {"login_error": None, "inside": None}


def inner(**changes: Any) -> dict[str, Any]:
    return {"inner": replace(INNER, **changes)}


def host(**changes: Any) -> dict[str, Any]:
    return {"host": replace(HOST, **changes)}


def link(net: NetFacts, name: str, **changes: Any) -> dict[str, Link]:
    return {**net.links, name: replace(net.links[name], **changes)}


def without(net: NetFacts, name: str) -> dict[str, Link]:
    return {key: value for key, value in net.links.items() if key != name}


def inside(**changes: Any) -> dict[str, Any]:
    assert HEALTHY.inside
    return {"inside": replace(HEALTHY.inside, **changes)}


ERROR = "EXT4-fs error (device vda): ext4_lookup:1855: inode #12: comm ls: deleted inode referenced: 24593"
# case: what differs from a healthy VM, the step that must say so, words of what was seen or of the cause.
CASES: dict[str, tuple[dict[str, Any], str, str]] = {
    "vmm": ({**MUTE, "replies": None, "vmm_alive": False, "vmm_log": "out of memory"}, "VMM", "out of memory"),
    "namespace": ({**MUTE, "replies": None, "inner": None}, "namespace", "no namespace vm7"),
    "bridge missing": ({**inner(links=without(INNER, "br-vm")), **MUTE}, "bridge", "no interface br-vm"),
    "bridge down": ({**inner(links=link(INNER, "br-vm", up=False)), **MUTE}, "bridge", "br-vm is down"),
    "bridge without address": (
        {**inner(links=link(INNER, "br-vm", addresses=())), **MUTE},
        "bridge",
        "none, expected exactly 10.0.0.1/24",
    ),
    "tap missing": ({**inner(links=without(INNER, "tap0")), **MUTE}, "tap", "no interface tap0"),
    "tap detached": ({**inner(links=link(INNER, "tap0", master=None)), **MUTE}, "tap", "attached to nothing"),
    "tap elsewhere": ({**inner(links=link(INNER, "tap0", master="br0")), **MUTE}, "tap", "attached to br0"),
    "tap down": ({**inner(links=link(INNER, "tap0", up=False)), **MUTE}, "tap", "tap0 is down"),
    "veth missing": (inner(links=without(INNER, "veth-vm7")), "uplink", "no interface veth-vm7"),
    "host veth down": (host(links=link(HOST, "veth-vm7-br", up=False)), "uplink", "veth-vm7-br is down"),
    "no default route": (inner(routes=()), "uplink", "routes to 0.0.0.0/0: none"),
    "no route on the host": (host(routes=()), "uplink", "routes to 10.0.7.0/24: none"),
    "forwarding off": (inner(forwarding=False), "NAT", "vm7: ip_forward is disabled"),
    "host forwarding off": (host(forwarding=False), "NAT", "host: ip_forward is disabled"),
    "rules flushed": (inner(rules=None), "NAT", "vm7: no rule set"),
    "rules changed": (inner(rules="other rules"), "NAT", "unexpected: other rules; missing: inner rules"),
    "no way out": (
        {"egress": Egress(("host: packets of guests to 8.8.8.8 do not leave: no route leads there",))},
        "egress",
        "no route leads there",
    ),
    "another firewall": ({"egress": Egress(("a firewall drops",), ("nft insert",))}, "egress", "a firewall drops"),
    "host rules flushed": (host(rules=None), "NAT", "host: no rule set"),
    "panic": (
        {**MUTE, "console": BOOTED + "Kernel panic - not syncing: Attempted to kill init!\n---[ end"},
        "console",
        "Attempted to kill init",
    ),
    "entropy, systemd": (
        {**MUTE, "restored": False, "console": "Starting Load/Save Random Seed...\n"},
        "console",
        "the kernel waits for entropy",
    ),
    "entropy, sshd": (
        {**MUTE, "restored": False, "console": BOOTED + "random: sshd: uninitialized urandom read (32 bytes read)\n"},
        "console",
        "the kernel waits for entropy",
    ),
    "silent console": ({**MUTE, "restored": False}, "console", "the console is empty"),
    "no init": ({**MUTE, "restored": False, "console": "Linux version 6.1\n"}, "console", "init printed nothing"),
    "guest hangs": (MUTE, "guest", "10.0.0.2 does not answer"),
    "sshd down": (
        {**NO_SSHD, "port": Port.REFUSED, "console": "can't run '/usr/sbin/sshd': No such file or directory"},
        "sshd",
        "can't run '/usr/sbin/sshd'",
    ),
    "port filtered": ({**NO_SSHD, "port": Port.SILENT}, "sshd", "port 22 does not answer"),
    "key refused": ({"login_error": "Authentication failed", "inside": None}, "login", "Authentication failed"),
    "disk full": (inside(space_percent={"/": 100}, biggest="/var 90 MiB"), "disk space", "/var 90 MiB"),
    "inodes gone": (inside(inodes_percent={"/": 100}), "disk space", "100 % of the inodes"),
    "tmpfs full": (inside(space_percent={"/": 50, "/tmp": 99}), "disk space", "99 % of the space of /tmp"),
    "ext4 in the kernel log": (inside(kernel_log=ERROR), "ext4", "changed after the snapshot"),
    "ext4 on the console": ({"console": ERROR}, "ext4", "deleted inode referenced"),
}


def states(steps: list[Step]) -> dict[str, State]:
    return {step.name: step.state for step in steps}


def test_a_healthy_vm_has_no_cause() -> None:
    assert set(states(walk(PLACE, HEALTHY)).values()) == {State.GOOD}
    booted = replace(HEALTHY, restored=False, console=BOOTED)
    assert set(states(walk(PLACE, booted)).values()) == {State.GOOD}


@pytest.mark.parametrize("name", CASES)
def test_each_fault_is_the_one_and_only_cause(name: str) -> None:
    changes, step_name, words = CASES[name]
    steps = walk(PLACE, replace(HEALTHY, **changes))
    bad = [step for step in steps if step.state is State.BAD]
    # An unanswered ping is a cause of its own only where nothing else explains it.
    assert [step.name for step in bad if step.name != "guest" or step_name == "guest"] == [step_name]
    found = next(step for step in bad if step.name == step_name)
    assert words in f"{found.seen}; {found.cause}"
    assert found.cause
    assert found.fix


def test_every_step_can_say_good_and_bad() -> None:
    blamed = {step for _, step, _ in CASES.values()}
    assert blamed == set(states(walk(PLACE, HEALTHY)))
    assert len(blamed) == len(STEPS)


def test_a_silence_behind_a_broken_bridge_is_not_blamed_on_the_guest() -> None:
    steps = states(walk(PLACE, replace(HEALTHY, **CASES["tap detached"][0])))
    assert (steps["guest"], steps["console"], steps["sshd"]) == (State.UNSEEN,) * 3


@pytest.mark.parametrize(("private", "expected"), [("", ""), ("hornet-1-", " --private hornet-1-")])
def test_the_command_repairs_the_network_of_this_vm_on_its_host(private: str, expected: str) -> None:
    steps = walk(replace(PLACE, private=private), replace(HEALTHY, **inner(rules=None)))
    (step,) = (step for step in steps if step.state is State.BAD)
    assert step.command == f"hornetos net up --first 7{expected}"


@given(st.integers(0, 100), st.integers(0, 100))
def test_a_disk_is_full_from_the_limit_on(space: int, inodes: int) -> None:
    found = states(walk(PLACE, replace(HEALTHY, **inside(space_percent={"/": space}, inodes_percent={"/": inodes}))))
    assert (found["disk space"] is State.BAD) == (max(space, inodes) >= FULL_PERCENT)


nets = st.one_of(st.none(), st.just(INNER), st.just(NetFacts({}, (), False, "", {})))


@given(
    st.builds(
        Observations,
        vmm_alive=st.booleans(),
        vmm_log=st.text(max_size=50),
        restored=st.booleans(),
        console=st.text(max_size=50),
        inner=nets,
        host=nets,
        replies=st.one_of(st.none(), st.booleans()),
        port=st.one_of(st.none(), st.sampled_from(Port)),
        login_error=st.one_of(st.none(), st.text(max_size=20)),
        inside=st.one_of(st.none(), st.just(HEALTHY.inside)),
    )
)
def test_every_bad_step_has_a_cause_and_a_fix(seen: Observations) -> None:
    steps = walk(PLACE, seen)
    assert len(steps) == len(STEPS)
    for step in steps:
        assert bool(step.cause and step.fix) == (step.state is State.BAD)


STATE = VMState(
    pid=1 << 22, owner_pid=1, lane="qemu/tcg", vm_id=3, namespace="vm3", private_host="", ssh_key="/key", snapshot=None
)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"pid": -1}, "pid: "),
        ({"pid": 1 << 70}, "71 bits"),
        ({"pid": "1"}, "pid: "),
        ({"private_host": "../../etc/"}, "private_host: "),
        ({"ssh_key": "/key\0"}, "ssh_key: "),
        ({"snapshot": ["x"]}, "snapshot: "),
        ({"more": 1}, "more: "),
    ],
)
def test_a_state_file_that_the_suite_has_not_written_is_named(
    change: dict[str, Any], named: str, tmp_path: Path
) -> None:
    workspace = Workspace(tmp_path)
    file = vms_directory(workspace) / "vm3" / STATE_FILE
    file.parent.mkdir(parents=True)
    file.write_text(json.dumps({**STATE.model_dump(), **change}))
    for read in (lambda: find_vm(workspace, SPEC, "vm3"), lambda: running_vms(workspace)):
        with pytest.raises(VMError, match=named) as caught:
            read()
        assert str(file) in caught.value.message


def test_an_unknown_vm_is_a_clear_error_that_names_the_known_ones(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    known = vms_directory(workspace) / "vm3"
    known.mkdir(parents=True)
    with pytest.raises(VMError, match=r"vm3: is being started"):
        find_vm(workspace, SPEC, "vm3")
    (known / STATE_FILE).write_text(STATE.to_json())
    with pytest.raises(VMError, match=r"vm9: there is no such VM(.|\n)*vm3"):
        find_vm(workspace, SPEC, "vm9")


def test_what_du_does_not_print_is_left_out() -> None:
    assert _sizes(f"2048 /usr\n{'9' * 5000} /home\nx\n\n1024\t/var\n") == "/usr 2 MiB, /var 1 MiB"


def test_percentages_that_nothing_has_are_no_percentages() -> None:
    assert _percentages(f"/dev/vda 1 1 1 97% /\n/dev/vdb 1 1 1 {'9' * 5000}% /x\n")["/"] == 97
    with pytest.raises(GuestError, match="expected percentages"):
        _percentages("df: nothing")
