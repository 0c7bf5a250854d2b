"""The host's network in a private namespace: repair, and only what is ours is ever removed."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from hornet.host.proc import run
from hornet.installation import SOURCE
from hornet.network import HostNet, netns, rtnl
from hornet.network.ownership import leftovers, remove_leftovers, take_inventory
from hornet.network.reconcile import vm_problems
from hornet.network.state import read_facts
from reports.schemas import schema_of
from tests.support.network_samples import (
    IN_CHECKOUT,
    NETWORK,
    TIMEOUT_S,
    hornetos_net,
    host,
    in_namespace,
    interfaces,
    prefix,
)

__all__ = ["host", "prefix"]


# --- Nothing is left, nothing else is touched -------------------------------------------------------------------------


def test_no_parts_are_left_and_names_are_free_at_once(host: HostNet) -> None:
    for _ in range(2):
        vms = host.create_many(range(1, 5))
        host.remove_many(vms)
        assert interfaces(host) == {"lo"}
        assert take_inventory(host).vm_ids == []


def test_an_interrupted_creation_is_taken_back(host: HostNet, monkeypatch: pytest.MonkeyPatch) -> None:
    real, calls = netns.bind, []

    def bind_and_interrupt(name: str) -> None:
        real(name)
        calls.append(name)
        if len(calls) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(netns, "bind", bind_and_interrupt)
    with pytest.raises(KeyboardInterrupt):
        host.create_many([1, 2, 3])
    assert interfaces(host) == {"lo"}
    netns.remove(calls[1])  # it was named just before


MAKE_FOREVER = """
import sys
from hornet.network import HostNet
from hornet.spec.model import load_spec
host = HostNet.private(load_spec().network, sys.argv[1])
host.start()
for n in range(1, 60000):
    host.create(n)
    if n == 3:
        print("going", flush=True)
"""


@pytest.mark.parametrize("delay_ms", [0, 3, 7])
def test_a_killed_process_leaves_only_whole_ones(delay_ms: int, prefix: str) -> None:
    argv = [sys.executable, "-c", MAKE_FOREVER, prefix]
    with subprocess.Popen(argv, env=IN_CHECKOUT, stdout=subprocess.PIPE) as maker:
        assert maker.stdout
        assert maker.stdout.readline() == b"going\n"
        try:
            maker.wait(delay_ms / 1000)
        except subprocess.TimeoutExpired:
            pass
        maker.send_signal(signal.SIGKILL)
        maker.wait(TIMEOUT_S)
    host = HostNet.private(NETWORK, prefix)
    found = take_inventory(host)
    assert len(found.vm_ids) >= 3
    assert not any(vm_problems(host, found.vm_ids).values())
    code, output = hornetos_net(prefix, "down")
    assert (code, output) == (0, f"{len(found.vm_ids)} VM networks removed\n")
    assert not [name for name in netns.names() if name.startswith(prefix)]


def test_similar_foreign_objects_stay_unchanged(host: HostNet) -> None:
    """Foreign namespaces, interfaces and rules with names as similar to the suite's as possible."""
    foreign = f"{host.prefix}vm7"
    netns.create(foreign, lambda: None)
    in_namespace(foreign, "ip link add br-vm up type bridge; ip addr add 10.0.0.1/24 dev br-vm")
    decoys = """
        ip link add veth-vm8-br up type veth peer name other; ip link set other up
        ip addr add 10.0.8.254/24 dev veth-vm8-br
        ip link add br0 up group 7 type bridge; ip route add 10.9.0.0/24 dev br0
        nft 'table ip hornetos { chain c { type filter hook input priority 0; } ; }'
        nft 'table inet mine { set s { type ipv4_addr; } ; }'
    """
    in_namespace(host.namespace or "", decoys)

    def state() -> list[str]:
        inside = [netns.enter(foreign, read_facts).links]
        links = host.run(read_facts).links
        tables = "nft list table ip hornetos; nft list table inet mine"
        return [str(inside), str(links), in_namespace(host.namespace or "", tables)]

    try:
        before = state()
        assert hornetos_net(host.prefix, "up", "--count", "3")[0] == 0
        code, output = hornetos_net(host.prefix, "up", "--count", "7")
        assert code == 2
        assert f"VM 7, number 4 of 4: namespace {foreign}: already exists" in output
        code, output = hornetos_net(host.prefix, "up", "--count", "1", "--first", "8")
        assert code == 2
        assert "VM 8: veth-vm8-br: 10.0.8.0/24 overlaps the address 10.0.8.254/24 of veth-vm8-br" in output
        _, shown = hornetos_net(host.prefix, "list")
        assert "vm3" in shown
        assert "vm7" not in shown
        assert "vm8" not in shown
        assert hornetos_net(host.prefix, "down", "--count", "9") == (0, "3 VM networks removed\n")
        assert state() == before
    finally:
        netns.remove(foreign)


@pytest.mark.requirement("cleanup")
def test_only_leftovers_of_dead_runs_are_removed(prefix: str) -> None:
    with subprocess.Popen([sys.executable, "-c", MAKE_FOREVER, f"{prefix}x-"], env=IN_CHECKOUT) as dead:
        dead.kill()
    names = {f"hornet-{dead.pid}-host": True, f"hornet-{dead.pid}-foreign": False, f"{prefix}host": True}
    for name, ours in names.items():
        netns.create(name, read_facts if not ours else _mark)
    try:
        assert leftovers(NETWORK).get(dead.pid) == [f"hornet-{dead.pid}-host"]
        assert f"hornet-{dead.pid}-host" in remove_leftovers(NETWORK)
        assert not netns.exists(f"hornet-{dead.pid}-host")
        assert netns.exists(f"hornet-{dead.pid}-foreign")
        assert netns.exists(f"{prefix}host")
    finally:
        for name in names:
            netns.remove(name)


def _mark() -> None:
    with rtnl.Rtnl() as kernel:
        kernel.send([rtnl.set_link("lo", up=True, group=NETWORK.interface_group)])


# --- Namespaces that stay ---------------------------------------------------------------------------------------------


DAMAGE = {
    "no bridge": ("vm", "ip link del br-vm", "no interface br-vm"),
    "no tap": ("vm", "ip link del tap0", "no interface tap0"),
    "tap elsewhere": ("vm", "ip link set tap0 nomaster", "tap0 is attached to nothing"),
    "no gateway address": ("vm", "ip addr flush dev br-vm", "br-vm has the addresses none"),
    "other gateway MAC": ("vm", "ip link set br-vm address 02:00:00:00:00:99", "has the MAC 02:00:00:00:00:99"),
    "no default route": ("vm", "ip route del default", "routes to 0.0.0.0/0: none"),
    "other default route": ("vm", "ip route replace default via 10.0.2.77", "via 10.0.2.77"),
    "no NAT": ("vm", "nft flush chain inet hornetos postrouting", "missing: oifname"),
    "no rules": ("vm", "nft flush ruleset", "no rule set"),
    "bridge down": ("vm", "ip link set br-vm down", "br-vm is down"),
    "no forwarding": ("vm", "echo 0 >/proc/sys/net/ipv4/ip_forward", "ip_forward is disabled"),
    "no veth": ("vm", "ip link del veth-vm2", "no interface veth-vm2"),
    "host end down": ("host", "ip link set veth-vm2-br down", "veth-vm2-br is down"),
    "no host address": ("host", "ip addr flush dev veth-vm2-br", "veth-vm2-br has the addresses none"),
    "no host route": ("host", "ip route del 10.0.2.0/24", "routes to 10.0.2.0/24: none"),
    "other MAC": ("vm", "ip link set veth-vm2 address 02:00:00:00:00:99", "expected 02:48:4f:00:00:04"),
    "neighbour to be learnt": ("vm", "ip neigh flush all nud permanent", "the neighbour 10.0.2.254 is not set"),
    "other host MAC": ("host", "ip link set veth-vm2-br address 02:00:00:00:00:99", "expected 02:48:4f:00:00:03"),
    "other neighbour": (
        "host",
        "ip neigh replace 10.0.2.1 lladdr 02:00:00:00:00:99 dev veth-vm2-br",
        "10.0.2.1 is 02:",
    ),
    "host end in no group": ("host", "ip link set veth-vm2-br group 0", "is in group 0"),
    "no host rules": ("host", "nft flush ruleset", "host: no rule set"),
    "an open door": ("host", "nft insert rule inet hornetos forward accept", "unexpected: accept"),
    "host forwards nothing": ("host", "echo 0 >/proc/sys/net/ipv4/ip_forward", "ip_forward is disabled"),
}


@pytest.mark.requirement(
    "namespace-parts", "host-routes", "trouble-bridge", "trouble-tap", "trouble-namespace", "trouble-nat"
)
def test_check_names_each_damage_and_up_repairs_it(prefix: str) -> None:
    try:
        assert hornetos_net(prefix, "up", "--count", "3") == (0, "3 created, 0 repaired, 0 were already correct\n")
        untouched = netns.RUN_NETNS.joinpath(f"{prefix}vm1").stat().st_ino
        for what, (where, command, said) in DAMAGE.items():
            in_namespace(f"{prefix}{'vm2' if where == 'vm' else 'host'}", command)
            code, output = hornetos_net(prefix, "check", "--count", "3")
            assert code == 1, what
            assert said in output, what
            code, output = hornetos_net(prefix, "up", "--count", "3")
            assert code == 0, f"{what}: {output}"
            assert hornetos_net(prefix, "check", "--count", "3") == (0, "3 of 3 VM networks are correct\n"), what
        assert netns.RUN_NETNS.joinpath(f"{prefix}vm1").stat().st_ino == untouched
    finally:
        hornetos_net(prefix, "down")


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("ip addr add 10.0.9.1/24 dev br-vm", "vm2: br-vm has the addresses 10.0.0.1/24, 10.0.9.1/24"),
        ("ip link set veth-vm2 mtu 1400", "differ in MTU: [1400, 1500]"),
        ("ip link set veth-vm2 master br-vm", "vm2: veth-vm2 is a port of br-vm"),
        ("ip link del tap0; ip link add tap0 type bridge", "vm2: tap0 is a bridge, expected a tun"),
        ("ip route add default via 10.0.2.77 metric 7", "routes to 0.0.0.0/0: 0.0.0.0/0 via 10.0.2.254"),
    ],
)
def test_wrong_extra_objects_are_named_and_kept(command: str, said: str, prefix: str) -> None:
    """Repair adds missing objects. Wrong extra objects are named and kept."""
    try:
        hornetos_net(prefix, "up", "--count", "2")
        in_namespace(f"{prefix}vm2", command)
        code, output = hornetos_net(prefix, "check", "--count", "2")
        assert code == 1
        assert said in output
        code, output = hornetos_net(prefix, "up", "--count", "2")
        assert code == 2
        assert "VM 2 cannot be repaired" in output
    finally:
        hornetos_net(prefix, "down")


def test_check_answers_as_data(prefix: str) -> None:
    hornetos_net(prefix, "up")
    for count, code in (("1", 0), ("2", 1)):
        exit_code, output = hornetos_net(prefix, "check", "--count", count, "--json")
        answer = json.loads(output)
        Draft202012Validator(schema_of("net-check")).validate(answer)
        assert (exit_code, answer["correct"], answer["of"]) == (code, 1, int(count))
        assert bool(answer["problems"]) is (code == 1)
    hornetos_net(prefix, "down")


@pytest.mark.requirement("cleanup", "phase1-environment")
def test_leftovers_are_listed_and_removed(prefix: str) -> None:
    """One name is unmounted, as after lost state; another was only partly created by a killed process."""
    hornetos_net(prefix, "up", "--count", "3")
    with netns.RUN_NETNS.joinpath(f"{prefix}vm2").open("rb") as held:  # keeps the namespace, as its VMM would
        netns.remove(f"{prefix}vm2")
        netns._link_mark(netns.RUN_NETNS / f"{prefix}vm9")
        _, output = hornetos_net(prefix, "list")
        assert "veth-vm2-br  an orphaned interface on the host: its namespace is gone" in output
        assert f"{prefix}vm9  a name without a namespace" in output
        answer = json.loads(hornetos_net(prefix, "list", "--json")[1])
        Draft202012Validator(schema_of("net-list")).validate(answer)
        assert [vm["interface"] for vm in answer["vms"]] == ["veth-vm1-br", "veth-vm3-br"]
        assert (answer["orphans"], answer["names_only"]) == (["veth-vm2-br"], [f"{prefix}vm9"])
        assert hornetos_net(prefix, "down", "--count", "1") == (0, "1 VM networks removed\n")
        assert "vm3" in hornetos_net(prefix, "list")[1]
        assert hornetos_net(prefix, "down") == (0, "1 VM networks removed\n")
        assert hornetos_net(prefix, "list") == (0, "no VM networks\n")
        assert held
    assert not [name for name in netns.names() if name.startswith(prefix)]


def test_host_network_mode_uses_the_guides_names(tmp_path: Path) -> None:
    """`hornetos net` without --private, on a simulated host: the guide's names and rules."""
    hornetos = f"{sys.executable} -m hornet_cli net"
    script = f"""
        mount -t tmpfs none /run
        ip link set lo up; ip link add eth0 up type veth peer name outside; ip link set outside up
        ip addr add 192.0.2.2/24 dev eth0; ip route add default via 192.0.2.1
        {hornetos} up --count 2
        ip netns list | cut -d" " -f1 | sort; ip route show 10.0.2.0/24; nft list table inet hornetos | grep eth0
        {hornetos} check --count 2; {hornetos} list
        {hornetos} down --count 1; {hornetos} list; nft list tables
        {hornetos} down; {hornetos} list; nft list tables; ls /run/netns
    """
    argv = ["unshare", "--net", "--mount", "sh", "-ec", textwrap.dedent(script)]
    output = run(argv, timeout_s=TIMEOUT_S, env={"PYTHONPATH": str(SOURCE), "HORNET_HOME": str(tmp_path)}).output
    assert output.splitlines() == [
        "2 created, 0 repaired, 0 were already correct",
        "vm1",
        "vm2",
        "10.0.2.0/24 via 10.0.2.1 dev veth-vm2-br proto static onlink ",
        "\t\tiifgroup 18511 oifname \"eth0\" accept",
        "\t\tiifgroup 18511 oifname \"eth0\" masquerade",
        "2 of 2 VM networks are correct",
        "vm1  10.0.1.0/24  veth-vm1-br",
        "vm2  10.0.2.0/24  veth-vm2-br",
        "table inet hornetos  the host's rules",
        "1 VM networks removed",
        "vm2  10.0.2.0/24  veth-vm2-br",
        "table inet hornetos  the host's rules",
        "table inet hornetos",
        "1 VM networks removed",
        "no VM networks",
    ]  # fmt: skip


# --- What others have made --------------------------------------------------------------------------------------------

FOREIGN_TABLE = "nft 'table inet hornetos { chain mine { type filter hook input priority 7; } ; }'"


def test_a_foreign_table_of_our_name_is_an_error_and_stays(prefix: str) -> None:
    netns.create(f"{prefix}host", _mark)
    try:
        in_namespace(f"{prefix}host", FOREIGN_TABLE)
        before = in_namespace(f"{prefix}host", "nft list ruleset")
        code, output = hornetos_net(prefix, "up")
        assert code == 2
        assert "a table inet hornetos already exists and does not belong to the suite" in output
        assert "nft delete table inet hornetos" in output
        assert "table" not in hornetos_net(prefix, "list")[1]
        assert hornetos_net(prefix, "check")[0] == 1
        assert in_namespace(f"{prefix}host", "nft list ruleset") == before
    finally:
        netns.remove(f"{prefix}host")


def test_a_foreign_table_on_the_machine_is_not_removed(tmp_path: Path) -> None:
    hornetos = f"{sys.executable} -m hornet_cli net"
    script = f"""
        mount -t tmpfs none /run; ip link set lo up
        {FOREIGN_TABLE}
        {hornetos} up || echo "code $?"
        {hornetos} down; nft list tables
    """
    argv = ["unshare", "--net", "--mount", "sh", "-ec", textwrap.dedent(script)]
    output = run(argv, timeout_s=TIMEOUT_S, env={"PYTHONPATH": str(SOURCE), "HORNET_HOME": str(tmp_path)}).output
    assert "does not belong to the suite" in output
    assert "code 2" in output
    assert output.splitlines()[-1] == "table inet hornetos"


def test_a_foreign_table_in_a_vms_namespace_is_an_error_and_stays(prefix: str) -> None:
    try:
        hornetos_net(prefix, "up")
        in_namespace(f"{prefix}vm1", f"nft delete table inet hornetos; {FOREIGN_TABLE}")
        code, output = hornetos_net(prefix, "up")
        assert code == 2
        assert "does not belong to the suite" in output
        assert "chain mine" in in_namespace(f"{prefix}vm1", "nft list ruleset")
    finally:
        hornetos_net(prefix, "down")


def test_foreign_private_host_is_an_error_and_is_not_removed(prefix: str) -> None:
    netns.create(f"{prefix}host", lambda: None)
    try:
        code, output = hornetos_net(prefix, "up")
        assert code == 2
        assert f"namespace {prefix}host: already exists and does not belong to the suite" in output
        hornetos_net(prefix, "down")
        assert netns.exists(f"{prefix}host")
        assert in_namespace(f"{prefix}host", "nft list tables; cat /proc/sys/net/ipv4/ip_forward") == "0\n"
    finally:
        netns.remove(f"{prefix}host")


def test_foreign_interface_named_as_a_vms_veth_is_not_changed(prefix: str) -> None:
    try:
        hornetos_net(prefix, "up", "--count", "2")
        in_namespace(f"{prefix}host", "ip link del veth-vm2-br; ip link add veth-vm2-br type bridge")
        before = in_namespace(f"{prefix}host", "ip link show veth-vm2-br")
        code, output = hornetos_net(prefix, "up", "--count", "2")
        assert code == 2
        assert "interface veth-vm2-br already exists and does not belong to the suite" in output
        assert in_namespace(f"{prefix}host", "ip link show veth-vm2-br") == before
    finally:
        hornetos_net(prefix, "down")


def test_private_host_held_by_a_process_is_not_a_leftover(prefix: str) -> None:
    """As seen from outside a container: no process has the pid in the name, but the owner is alive."""
    with subprocess.Popen(["true"]) as dead:
        pass
    with HostNet.private(NETWORK, f"hornet-{dead.pid}-") as host:
        host.create(1)
        assert not leftovers(NETWORK).get(dead.pid)
        assert host.namespace not in remove_leftovers(NETWORK)
        assert netns.exists(host.vm(1).name)
    assert not netns.exists(f"hornet-{dead.pid}-host")
