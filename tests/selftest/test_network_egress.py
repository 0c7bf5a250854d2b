"""The way out of the host: routes as the kernel answers, and the trial packet. Firewalls: tests/cases/network."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

from hornet.host.proc import run
from hornet.installation import SOURCE
from hornet.network import nft
from hornet.network.egress import find_uplinks
from hornet.network.ruleset import Packet, Ruleset
from hornet.network.state import rules_as_listed
from hornet_fixtures.network.lab import Lab, private_lab
from tests.support.network_samples import NETWORK, TIMEOUT_S, hornetos_net, in_namespace, prefix

__all__ = ["prefix"]

UNDECIDED = """
table inet f { chain forward {
    type filter hook forward priority 1; policy drop;
    meta mark & 0xff == 0x7 accept
}
}"""


@pytest.fixture
def lab(prefix: str) -> Iterator[Lab]:
    with private_lab(NETWORK, prefix) as made:
        yield made


def test_return_that_may_be_reached_keeps_the_drop_open(prefix: str, lab: Lab) -> None:
    """Whether the packet has the mark is not known, so neither the return nor the drop after it is certain."""
    rules = """nft 'table inet f {
        chain c { meta mark & 1 == 1 return; drop; }
        chain forward { type filter hook forward priority 1; jump c; }
    }'"""
    in_namespace(f"{prefix}host", rules)
    verdict = lab.host.run(lambda: Ruleset().verdict(("forward",), Packet("tcp", {"meta iifname": "x"})))
    assert not verdict.dropped
    assert [it.rule for it in verdict.possible] == ["drop"]


def test_trial_packet_reaches_no_server(lab: Lab, prefix: str) -> None:
    """It ends at the first hop, and its table is gone afterwards."""
    in_namespace(f"{prefix}host", f"nft '{UNDECIDED}'")
    hornetos_net(prefix, "check")
    assert "hornetos-trial" not in in_namespace(f"{prefix}host", "nft list tables")


# --- The machine's own routes -----------------------------------------------------------------------------------------

LINKS = """
    mount -t tmpfs none /run; ip link set lo up
    for n in 0 1; do ip link add eth$n up type veth peer name out$n; ip link set out$n up; done
    ip addr add 192.0.2.2/24 dev eth0; ip addr add 198.51.100.2/24 dev eth1
"""
DEFAULT = "ip route add default via 192.0.2.1"
TWO_HOPS = "ip route add default nexthop via 192.0.2.1 nexthop via 198.51.100.1"
HALVES = "ip route add 0.0.0.0/1 via 198.51.100.1; ip route add 128.0.0.0/1 via 198.51.100.1"


def on_a_machine(script: str, home: Path) -> str:
    """What a script prints on a simulated machine; `hornetos` there plays the host in its own network."""
    argv = ["unshare", "--net", "--mount", "sh", "-ec", LINKS + textwrap.dedent(script)]
    environment = {"PYTHONPATH": str(SOURCE), "HORNET_HOME": str(home), "HORNETOS": f"{sys.executable} -m hornet_cli"}
    return run(argv, timeout_s=TIMEOUT_S, env=environment).output


ROUTES = {
    "one": (DEFAULT, '"eth0"'),
    "two next hops": (TWO_HOPS, '{ "eth0", "eth1" }'),
    "two halves of a VPN": (f"{DEFAULT}; {HALVES}", '"eth1"'),
    "metrics": (f"{DEFAULT} metric 200; ip route add default via 198.51.100.1 metric 100", '"eth1"'),
    "a next-hop group": (
        "ip nexthop add id 1 via 192.0.2.1 dev eth0; ip nexthop add id 2 via 198.51.100.1 dev eth1; "
        "ip nexthop add id 3 group 1/2; ip route add default nhid 3",
        '{ "eth0", "eth1" }',
    ),
    "a policy for guests": (
        f"{DEFAULT}; ip route add default via 198.51.100.1 table 7; ip rule add from 10.0.0.0/8 table 7",
        '"eth1"',
    ),
}


@pytest.mark.parametrize(("routes", "uplinks"), ROUTES.values(), ids=ROUTES)
def test_guests_leave_where_the_kernel_routes_them(routes: str, uplinks: str, tmp_path: Path) -> None:
    script = f"""
        {routes}
        $HORNETOS net up; nft list table inet hornetos | grep oifname; $HORNETOS net check
    """
    output = on_a_machine(script, tmp_path)
    for action in ("accept", "masquerade"):
        assert f"oifname {uplinks} {action}" in output
    assert output.endswith("1 of 1 VM networks are correct\n")


BROKEN_ROUTES = {
    "none": ("true", "do not leave: no route leads there"),
    "unreachable": ("ip route add unreachable default", "do not leave: a route refuses it as unreachable"),
    "prohibit": ("ip route add prohibit default", "do not leave: a route prohibits it"),
    "blackhole": ("ip route add blackhole default", "do not leave: a route discards it (blackhole)"),
    "no forwarding from guests": (
        f"{DEFAULT}; AFTER=/proc/sys/net/ipv4/conf/veth-vm1-br/forwarding",
        "the interface may not forward",
    ),
    "no forwarding of answers": (f"{DEFAULT}; AFTER=/proc/sys/net/ipv4/conf/eth0/forwarding", "do not pass from eth0"),
}


@pytest.mark.parametrize(("routes", "said"), BROKEN_ROUTES.values(), ids=BROKEN_ROUTES)
def test_missing_way_out_is_named(routes: str, said: str, tmp_path: Path) -> None:
    script = f"""
        AFTER=/dev/null; {routes}
        $HORNETOS net up >/dev/null; echo 0 >$AFTER
        $HORNETOS net up; $HORNETOS net check || echo "exit code $?"
    """
    output = on_a_machine(script, tmp_path)
    assert output.count(said) >= 2, output
    assert "exit code 1" in output


def test_route_changed_after_up_is_found_and_repaired(tmp_path: Path) -> None:
    script = f"""
        {DEFAULT}; $HORNETOS net up; ip route replace default via 198.51.100.1
        $HORNETOS net check || echo "exit code $?"; $HORNETOS net up; $HORNETOS net check
    """
    output = on_a_machine(script, tmp_path)
    assert "exit code 1" in output
    assert output.endswith("1 of 1 VM networks are correct\n")


def test_rules_of_two_uplinks_are_listed_as_they_are_compared() -> None:
    listed = rules_as_listed(nft.host_rules(NETWORK, ["eth0", "eth1"]))
    assert listed
    assert 'oifname { "eth0", "eth1" } masquerade' in listed


def test_host_without_routes_has_no_uplink(lab: Lab) -> None:
    assert lab.b.vm.run(lambda: find_uplinks(NETWORK)) == ()
