"""The way out of the host: routes as the kernel answers, and firewalls of others, in namespaces with real rules."""

from __future__ import annotations

import json
import re
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
from hornet_fixtures.network.lab import Lab, ask_site, private_lab
from tests.support.network_samples import NETWORK, TIMEOUT_S, hornetos_net, in_namespace, prefix

__all__ = ["prefix"]

DOCKER = """
    iptables -P FORWARD DROP
    iptables -N DOCKER-USER; iptables -A DOCKER-USER -j RETURN; iptables -A FORWARD -j DOCKER-USER
    iptables -A FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
    iptables -A FORWARD -i docker0 -j ACCEPT
"""
UFW = """
    iptables -P FORWARD DROP; iptables -N ufw-before-forward; iptables -N ufw-reject-forward
    iptables -A FORWARD -j ufw-before-forward; iptables -A FORWARD -j ufw-reject-forward
    iptables -A ufw-before-forward -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
    iptables -A ufw-before-forward -p icmp --icmp-type echo-request -j ACCEPT
    iptables -A ufw-reject-forward -j REJECT --reject-with icmp-host-prohibited
"""
FIREWALLD = """
table inet mine {
    map zones { type ifname : verdict; elements = { "docker0" : goto trusted }; }
    set trusted_nets { type ipv4_addr; flags interval; elements = { 172.16.0.0/12 }; }
    chain trusted { accept; }
    chain forward {
        type filter hook forward priority filter + 10; policy accept;
        ct state { established, related } accept
        ct status dnat accept
        iifname "lo" accept
        iifname vmap @zones
        ip saddr @trusted_nets accept
        ct state vmap { invalid : drop }
        reject with icmpx admin-prohibited
    }
}"""
ONLY_OUT = """
table ip f { chain forward {
    type filter hook forward priority 5; policy drop;
    iifname "veth-vm*" accept
}
}"""
PREROUTING = "table ip f { chain raw { type filter hook prerouting priority -300; ip saddr 10.0.0.0/8 drop; } ; }"
POSTROUTING = """
table inet f { chain out { type filter hook postrouting priority 300; meta l4proto udp udp dport 53 drop; } ; }"""
UNDECIDED = """
table inet f { chain forward {
    type filter hook forward priority 1; policy drop;
    meta mark & 0xff == 0x7 accept
}
}"""
# (how, what is said, and what lets guests through)
FIREWALLS = {
    "docker": (DOCKER, "table ip filter, chain FORWARD (priority 0): policy drop", "-I DOCKER-USER -i veth-vm+"),
    "ufw": (UFW, "table ip filter, chain FORWARD (priority 0): reject with icmp", "-I FORWARD -i veth-vm+"),
    "firewalld": (f"nft '{FIREWALLD}'", "table inet mine, chain forward (priority 10): reject", "nft insert rule"),
    "only-out": (f"nft '{ONLY_OUT}'", "table ip f, chain forward (priority 5): policy drop", "nft insert rule"),
    "prerouting": (f"nft '{PREROUTING}'", "table ip f, chain raw (priority -300): ip saddr", "nft insert rule"),
    "postrouting": (f"nft '{POSTROUTING}'", "chain out (priority 300): ", "nft insert rule"),
    "undecided": (f"nft '{UNDECIDED}'", "table inet f, chain forward (priority 1): policy drop", "nft insert rule"),
    "legacy": ("iptables-legacy -P FORWARD DROP", "a rule of iptables-legacy", "iptables-legacy -I FORWARD"),
}  # fmt: skip


@pytest.fixture
def lab(prefix: str) -> Iterator[Lab]:
    with private_lab(NETWORK, prefix) as made:
        yield made


@pytest.mark.requirement("trouble-nat")
@pytest.mark.parametrize("name", FIREWALLS)
def test_firewall_that_drops_guests_is_named_with_its_mend(name: str, lab: Lab, prefix: str) -> None:
    how, said, mend = FIREWALLS[name]
    assert hornetos_net(prefix, "check") == (0, "1 of 1 VM networks are correct\n")
    answer = json.loads(hornetos_net(prefix, "check", "--json")[1])
    assert (answer["correct"], answer["problems"], answer["egress"]["problems"]) == (1, [], [])
    in_namespace(f"{prefix}host", how)
    if name not in ("postrouting", "legacy"):
        with pytest.raises(OSError):
            lab.a.run(lambda: ask_site(timeout_s=1.0))
    code, output = hornetos_net(prefix, "check")
    assert code == 1
    assert said in output
    assert mend in output
    code, output = hornetos_net(prefix, "up")
    assert code == 0
    assert said in output
    for command in re.findall(r"to let guests through: (.*)", output):
        in_namespace(f"{prefix}host", command)
    assert hornetos_net(prefix, "check")[0] == 0
    assert lab.a.run(ask_site)


ACCEPTING = {
    "docker with an exception": DOCKER + "iptables -I DOCKER-USER -i veth-vm+ -j ACCEPT",
    "marked for guests": f"nft '{UNDECIDED.replace('meta mark & 0xff == 0x7', 'meta mark & 0xff == 0x0')}'",
    "a dormant table": f"nft '{ONLY_OUT.replace('{ chain', '{ flags dormant; chain')}'",
    "others only": f"nft '{ONLY_OUT.replace('policy drop', 'policy accept; iifname docker0 drop')}'",
    "legacy, empty": "iptables-legacy -L",
    "a return before the drop": """nft 'table inet f {
        chain c { iifgroup 18511 return; oifgroup 18511 return; drop; }
        chain forward { type filter hook forward priority 1; policy accept; jump c; }
    }'""",
}


@pytest.mark.parametrize("how", ACCEPTING.values(), ids=ACCEPTING)
def test_firewall_that_lets_guests_through_is_no_problem(how: str, lab: Lab, prefix: str) -> None:
    in_namespace(f"{prefix}host", how)
    assert lab.a.run(ask_site)
    code, output = hornetos_net(prefix, "check")
    first, *notes = output.splitlines()
    assert (code, first) == (0, "1 of 1 VM networks are correct")
    assert all(line.startswith("note: whether answers to guests pass can't be told from") for line in notes)


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
