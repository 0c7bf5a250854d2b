"""Each way into what is not one's own really leads there once the wall before it is down: so silence is isolation."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest

from hornet.host.proc import run
from hornet.network import HostNet, netns
from hornet.spec.model import load_spec
from hornet_fixtures.network import isolation
from hornet_fixtures.network.attacks import read_banner, tcp_server
from hornet_fixtures.network.lab import Lab, attach, private_lab

SPEC = load_spec()
HOST, VM_A = "host", "vm1"
CABLE = """
ip link add x up master br-vm type veth peer name x netns {prefix}vm2
ip -n {prefix}vm2 link set x up master br-vm
until bridge -n {prefix}vm1 link show dev x | grep -q forwarding; do sleep 0.01; done
until bridge -n {prefix}vm2 link show dev x | grep -q forwarding; do sleep 0.01; done
"""
IPV6 = """
echo 1 >/proc/sys/net/ipv6/conf/all/forwarding
ip -6 route add 2001:db8::80 dev veth-vm1; ip -6 neigh add 2001:db8::80 lladdr 02:00:00:00:00:80 dev veth-vm1
"""
ROUTE = """
ip route add 10.0.0.2 via 10.0.2.1 dev veth-vm2-br onlink
ip netns exec {prefix}vm2 nft flush chain inet hornetos forward
"""


def secrets_of_others(lab: Lab) -> list[str]:
    return isolation.secrets_of_others(lab, SPEC.secrets.port)


# (the way, where the wall stands, how it falls, what is said then)
WALLS = [
    (isolation.other_vms_by_routes, HOST, "nft flush chain inet hornetos forward", "guest a reached VM b at 10.0.2.1"),
    (isolation.services_of_the_host, HOST, "nft flush chain inet hornetos input", "guest a reached the host's uplink"),
    (secrets_of_others, HOST, "nft flush chain inet hornetos forward", "heard 'secret of b'"),
    (isolation.vms_from_outside, HOST, "nft flush chain inet hornetos forward", "the Internet reached VM a"),
    (isolation.spoofed_sources, VM_A, "nft flush ruleset", "a forged source left VM a"),
    (isolation.untranslated_segments, VM_A, "nft flush chain inet hornetos forward", "with the source 10.0.0.2"),
    (isolation.spoofing_namespace, HOST, "nft flush chain inet hornetos prerouting", "VM a sent a datagram as VM b"),
    (isolation.around_by_ipv6, VM_A, IPV6 + "nft flush ruleset", "an IPv6 packet left VM a"),
    (isolation.around_by_ipv6, VM_A, "ip addr add 2001:db8:1::1/64 dev br-vm", "has the IPv6 address 20010db8"),
    # A cable and a route that the topology does not have.
    (isolation.neighbours_by_broadcast, VM_A, CABLE, "VM b heard VM a"),
    (isolation.other_guests, HOST, ROUTE, "the host reached guest b"),
]  # fmt: skip


@pytest.mark.parametrize(("way", "where", "how", "said"), WALLS)
def test_each_broken_isolation_rule_is_detected(
    way: Callable[[Lab], list[str]], where: str, how: str, said: str
) -> None:
    prefix = f"hornet-{os.getpid()}-walls-"
    with private_lab(SPEC.network, prefix) as lab:
        run(["ip", "netns", "exec", f"{prefix}{where}", "sh", "-ec", how.format(prefix=prefix)], timeout_s=20)
        problems = way(lab)
        assert any(said in problem for problem in problems), problems
    assert not [name for name in netns.names() if name.startswith(prefix)]


def test_ipv6_does_not_leave_even_if_the_namespace_would_forward_it() -> None:
    prefix = f"hornet-{os.getpid()}-six-"
    with private_lab(SPEC.network, prefix) as lab:
        run(["ip", "netns", "exec", f"{prefix}{VM_A}", "sh", "-ec", IPV6], timeout_s=20)
        assert not [problem for problem in isolation.around_by_ipv6(lab) if "left" in problem]


def test_unreachable_control_target_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that sends nothing simulates a broken one."""
    monkeypatch.setattr(isolation, "WORD", "")
    with private_lab(SPEC.network, f"hornet-{os.getpid()}-mute-") as lab:
        (problem,) = isolation.other_vms_by_routes(lab)[:1]
        assert "control failed: the host, which is allowed, cannot reach the server either" in problem


def test_a_service_that_is_allowed_is_reached_and_no_other() -> None:
    network = SPEC.network.model_copy(update={"host_tcp_ports": [9000]})
    with HostNet.private(network, f"hornet-{os.getpid()}-open-") as host:
        guest = attach(host.create(1))
        try:
            address = str(guest.vm.plan.host_address.ip)
            with tcp_server(host.run, "0.0.0.0", "open", 9000), tcp_server(host.run, "0.0.0.0", "closed", 9001):
                assert guest.run(lambda: read_banner(address, 9000, 5)) == "open"
                assert guest.run(lambda: read_banner(address, 9001, 0.5)) is None
        finally:
            guest.remove()
