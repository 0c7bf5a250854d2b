"""Addresses of others in the plan's range: never taken over silently."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path

import pytest

from hornet.errors import NetworkError
from hornet.network import HostNet, netns, taken
from hornet.network.taken import hint, taken_networks
from hornet_fixtures.network.lab import UPSTREAM, Lab, private_lab
from tests.selftest.test_network_egress import on_a_machine
from tests.support.network_samples import NETWORK, TIMEOUT_S, hornetos_net, host, in_namespace, prefix

__all__ = ["host", "prefix"]

VPC = "ip addr add 10.0.9.10/24 dev eth0; ip route add default via 10.0.9.1"


@pytest.mark.parametrize("kind", ["unreachable", "blackhole", "prohibit"])
def test_route_that_rejects_the_range_is_nobodys(kind: str, prefix: str, host: HostNet) -> None:
    """A usual precaution against private addresses on the Internet."""
    in_namespace(host.namespace or "", f"ip route add {kind} 10.0.0.0/8; ip route add {kind} 10.0.0.0/16 metric 7")
    assert hornetos_net(prefix, "up", "--count", "2")[0] == 0
    assert hornetos_net(prefix, "check", "--count", "2")[0] == 0
    hornetos_net(prefix, "down", "--count", "2")
    assert f"{kind} 10.0.0.0/8" in in_namespace(host.namespace or "", "ip route show")


@pytest.mark.parametrize("destination", ["10.0.2.0/24", "10.0.2.1", "10.0.2.0/25"])
def test_route_that_rejects_a_vms_subnet_is_in_the_way_and_stays(destination: str, prefix: str, host: HostNet) -> None:
    in_namespace(host.namespace or "", f"ip route add unreachable {destination}")
    code, output = hornetos_net(prefix, "up", "--count", "2")
    assert code == 2
    assert f"VM 2: veth-vm2-br: 10.0.2.0/24 overlaps the route unreachable {destination}" in output
    assert f"unreachable {destination}" in in_namespace(host.namespace or "", "ip route show")


LINK = "ip link add d0 up type bridge"
OTHERS = {
    "the host's address": (f"{LINK}; ip addr add 10.0.3.7/32 dev d0", "the address 10.0.3.7/32 of d0"),
    "a gateway": (
        f"{LINK}; ip route add default via 10.0.3.1 dev d0 onlink",
        "the gateway 10.0.3.1 of the route 0.0.0.0/0",
    ),
    "one of two gateways": (
        f"{LINK}; ip route add default nexthop via 192.0.2.9 dev d0 onlink nexthop via 10.0.3.1 dev d0 onlink",
        "the gateway 10.0.3.1",
    ),
    "a VPN": (f"{LINK}; ip route add 10.0.0.0/8 dev d0", "the route 10.0.0.0/8 dev d0"),
    "a route of another table": (f"{LINK}; ip route add 10.0.2.0/23 dev d0 table 7", "the route 10.0.2.0/23 dev d0"),
}


@pytest.mark.parametrize(("how", "said"), OTHERS.values(), ids=OTHERS)
def test_addresses_of_others_are_refused_by_name(how: str, said: str, prefix: str, host: HostNet) -> None:
    in_namespace(host.namespace or "", how)
    code, output = hornetos_net(prefix, "up", "--first", "3")
    assert code == 2
    assert f"VM 3: veth-vm3-br: 10.0.3.0/24 overlaps {said}" in output
    assert not netns.exists(f"{prefix}vm3")


def test_refusal_proposes_a_range_that_is_free(host: HostNet) -> None:
    in_namespace(host.namespace or "", f"{LINK}; ip addr add 100.100.7.1/32 dev d0")
    found = host.run(lambda: taken_networks(NETWORK, machine=False))
    assert '[network] uplink_base = "172.16.0.0/12", max_vm_id = 4095' in hint(found)
    values = {**NETWORK.model_dump(), "uplink_base": "172.16.0.0/12", "max_vm_id": 4095}
    assert type(NETWORK).model_validate(values)


def test_name_servers_are_refused_by_name(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    resolv_conf = tmp_path / "resolv.conf"
    resolv_conf.write_text("search example\nnameserver 10.0.3.53\nnameserver fe80::1\noptions ndots:1\n")
    monkeypatch.setattr(taken, "RESOLV_CONF", (resolv_conf, tmp_path / "missing"))
    assert f"the name server 10.0.3.53 of {resolv_conf}" in _machine_uses()


def test_client_of_the_ssh_session_is_refused_although_sudo_hides_it() -> None:
    script = "import sys; from tests.selftest.test_network_taken import _machine_uses; print(_machine_uses())"
    shell = f"env -u SSH_CONNECTION {sys.executable} -c '{script}'; true"
    environment = {**os.environ, "SSH_CONNECTION": "10.0.3.99 50022 10.0.9.10 22"}
    found = subprocess.run(["sh", "-c", shell], env=environment, capture_output=True, text=True, timeout=TIMEOUT_S)
    assert "the client of this SSH session, 10.0.3.99" in found.stdout, found.stderr


def test_other_ends_of_connections_are_refused_by_name() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)), server.accept()[0]:
            assert f"the other end of a connection with 127.0.0.1:{port}" in _machine_uses()


def _machine_uses() -> list[str]:
    return [it.what for it in taken_networks(NETWORK, machine=True)]


def test_neighbours_in_a_vpc_are_named(tmp_path: Path) -> None:
    """The host cannot know who has the addresses, so it says what it hides, and the way out."""
    output = on_a_machine(f"{VPC}; $HORNETOS net up --count 4; $HORNETOS net up --first 9 || true", tmp_path)
    assert "note: eth0 has 10.0.9.10/24, so others around this host may have addresses of 10.0.0.0/8 too" in output
    assert "this host reaches nobody else at 10.0.1.0/24 … 10.0.4.0/24" in output
    assert 'uplink_base = "100.64.0.0/10"' in output


def test_default_route_in_halves_takes_no_addresses(host: HostNet) -> None:
    in_namespace(host.namespace or "", f"{LINK}; ip route add 0.0.0.0/1 dev d0")
    host.start()
    host.create(1)


def test_vm_is_not_created_over_a_taken_network(host: HostNet) -> None:
    in_namespace(host.namespace or "", f"{LINK}; ip addr add 10.0.1.7/24 dev d0")
    host.start()
    with pytest.raises(NetworkError, match=r"VM 1: .* overlaps the address 10.0.1.7/24 of d0"):
        host.create(1)


# --- A smaller MTU of the uplink --------------------------------------------------------------------------------------

MTU = 1460


@pytest.mark.parametrize("to_guest", [True, False], ids=["download", "upload"])
def test_bulk_data_passes_a_smaller_uplink_with_lost_icmp(to_guest: bool, prefix: str) -> None:
    """As in clouds with an MTU of 1460, where nobody hears that a packet was too long."""
    with private_lab(NETWORK, prefix) as lab:
        lose_icmp(lab)
        assert transfer(lab, to_guest) == SIZE_BYTES
        output = hornetos_net(prefix, "check")[1]
        assert f"note: {NETWORK.uplink_name} has an MTU of {MTU}, guests have 1500" in output


@pytest.mark.parametrize("to_guest", [True, False], ids=["download", "upload"])
def test_bulk_data_hangs_without_the_clamp(to_guest: bool, prefix: str) -> None:
    with private_lab(NETWORK, prefix) as lab:
        lose_icmp(lab)
        rules = in_namespace(f"{prefix}host", "nft -a list chain inet hornetos forward")
        (handle,) = [line.rsplit(" ", 1)[1] for line in rules.splitlines() if "maxseg" in line]
        in_namespace(f"{prefix}host", f"nft delete rule inet hornetos forward handle {handle}")
        with pytest.raises(TimeoutError):
            transfer(lab, to_guest)


SIZE_BYTES = 1 << 20
PORT = 8080
HANGS_AFTER_S = 3.0


def lose_icmp(lab: Lab) -> None:
    """The uplink takes only short packets, and nobody hears that one was too long."""
    uplink, where = NETWORK.uplink_name, lab.host.namespace or ""
    in_namespace(lab.internet.name, "ip link set upstream gso_max_segs 1")  # real packets, as on a wire
    in_namespace(where, f"ip link set {uplink} mtu {MTU}")
    chains = f"""
        chain in {{ type filter hook prerouting priority -300; iifname "{uplink}" meta length > {MTU} drop; }}
        chain out {{ type filter hook output priority 0; icmp type destination-unreachable drop; }}
    """
    in_namespace(where, f"nft 'table inet hole {{ {chains} }}'")


def transfer(lab: Lab, to_guest: bool) -> int:
    """Bytes that arrive on a connection of guest A to a server on the Internet. Raises TimeoutError if it hangs."""

    def serve() -> socket.socket:
        server = socket.create_server((str(UPSTREAM.ip), PORT))
        server.settimeout(HANGS_AFTER_S)
        return server

    def connect() -> socket.socket:
        return socket.create_connection((str(UPSTREAM.ip), PORT), timeout=HANGS_AFTER_S)

    with lab.internet.run(serve) as server, lab.a.run(connect) as guest, server.accept()[0] as internet:
        internet.settimeout(HANGS_AFTER_S)
        sender, receiver = (internet, guest) if to_guest else (guest, internet)
        threading.Thread(target=_send, args=(sender,), daemon=True).start()
        return sum(map(len, iter(lambda: receiver.recv(1 << 16), b"")))


def _send(sender: socket.socket) -> None:
    with suppress(OSError):  # the receiver timed out: the test asserts that
        sender.sendall(bytes(SIZE_BYTES))
        sender.shutdown(socket.SHUT_WR)
