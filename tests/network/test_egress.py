"""Egress through both MASQUERADEs: by name, with full packets, and back (guide: Network Architecture)."""

from __future__ import annotations

import errno
import hashlib
import socket
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest

from hornet.spec.model import Spec
from hornet_fixtures.network.attacks import ETH_IPV4, SENTINEL, PacketSocket, echo_request
from hornet_fixtures.network.lab import SITE, SITE_NAME, UPLINK, FakeGuest, Lab, ask_site, look_up

pytestmark = pytest.mark.network

BULK_BYTES = 32 << 20
IP_MTU_DISCOVER, IP_PMTUDISC_DO = 10, 2
HEADER_BYTES = 20 + 8  # IPv4 and ICMP


@pytest.mark.requirement("host-nat", "tool-network")
def test_each_hop_translates_the_source_address(lab: Lab) -> None:
    """Guest → 10.0.N.1 at the host's end of the veth → the uplink's address outside."""
    plan = lab.a.vm.plan
    with lab.host.run(lambda: PacketSocket(plan.host_veth)) as veth:
        assert lab.a.run(ask_site) == str(UPLINK.ip)
        frames = veth.until(b"GET / HTTP")
    senders = {socket.inet_ntoa(frame[26:30]) for frame in frames if frame[12:14] == ETH_IPV4}
    assert senders - {str(SITE)} == {str(plan.namespace_address.ip)}


@pytest.mark.requirement("nat-separates-guests")
def test_all_guests_connect_at_once(lab: Lab, guests: list[FakeGuest]) -> None:
    """All guests use the same address and ports; NAT separates them."""

    def from_one_port() -> str:
        with socket.socket() as client:
            client.bind((str(lab.host.network.guest_address.ip), 40000))
            client.settimeout(20)
            client.connect((str(SITE), 80))
            client.sendall(b"GET / HTTP/1.0\r\n\r\n")
            return b"".join(iter(lambda: client.recv(4096), b"")).decode().splitlines()[-1]

    with ThreadPoolExecutor(len(guests)) as pool:
        assert set(pool.map(lambda guest: guest.run(from_one_port), guests)) == {str(UPLINK.ip)}


@pytest.mark.requirement("guest-dns")
def test_each_name_server_answers(lab: Lab, spec: Spec) -> None:
    assert spec.network.dns, "[network] dns names no server"
    for server in spec.network.dns:
        assert lab.a.run(partial(look_up, SITE_NAME, str(server))) == str(SITE)


@pytest.mark.requirement("egress-full-packets")
def test_full_packets_pass_and_longer_ones_are_rejected(lab: Lab) -> None:
    """No hop has a smaller MTU than the guest's card: an unfragmented packet of that size comes back."""
    mtu = lab.a.run(lambda: _mtu(lab.host.network.guest_interface))
    assert lab.a.run(lambda: _ping(mtu)) == mtu
    with pytest.raises(OSError) as caught:
        lab.a.run(lambda: _ping(mtu + 1))
    assert caught.value.errno == errno.EMSGSIZE


@pytest.mark.requirement("egress-bulk-data")
def test_bulk_transfer_arrives_unchanged(guests: list[FakeGuest], lab: Lab) -> None:
    """Several guests transfer at once, each with its own bytes."""

    def send(guest: FakeGuest) -> bool:
        data = hashlib.shake_128(guest.name.encode()).digest(BULK_BYTES)
        return guest.run(lambda: ask_site("POST", data)) == hashlib.sha256(data).hexdigest()

    with ThreadPoolExecutor(len(guests)) as pool:
        assert list(pool.map(send, guests)) == [True] * len(guests)


def _mtu(interface: str) -> int:
    with PacketSocket(interface) as wire:
        return wire.mtu


def _ping(packet_bytes: int) -> int:
    """Ping the site with unfragmented packets of this size; returns the size of the answer."""
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP) as raw:
        raw.settimeout(10)
        raw.setsockopt(socket.IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_DO)
        raw.sendto(echo_request(SENTINEL.ljust(packet_bytes - HEADER_BYTES, b".")), (str(SITE), 0))
        return len(raw.recv(1 << 16))
