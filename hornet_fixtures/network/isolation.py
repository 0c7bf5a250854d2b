"""What must not be reachable from a VM, path by path; each function returns what got through, in words."""

from __future__ import annotations

import socket
from ipaddress import IPv6Address
from pathlib import Path

from hornet.network.netns import enter
from hornet_fixtures.network.attacks import (
    ACK,
    ATTACK,
    CONTROL_S,
    ETH_IPV4,
    ETH_IPV6,
    FIN,
    RST,
    SENTINEL,
    SYN,
    Attacker,
    PacketSocket,
    arp_request,
    connect_to,
    echo_request,
    ipv4,
    ipv6,
    leaving,
    read_banner,
    stray_segment,
    tcp_server,
    to_gateway,
    udp,
)
from hornet_fixtures.network.lab import DNS_PORT, HTTP_PORT, SITE, UPLINK, FakeGuest, Lab, route

EVERYWHERE = "0.0.0.0"
WORD = "here I am"
# An address for documentation (RFC 3849).
OUTSIDE_IPV6 = IPv6Address("2001:db8::80")


def other_vms_by_routes(lab: Lab) -> list[str]:
    """VM a, and even root in its namespace, asks what runs in VM b's namespace, at each address it might have."""
    b = lab.b.vm.plan
    with tcp_server(lab.b.vm.run, EVERYWHERE, WORD) as port:
        control = lab.host.run(lambda: read_banner(str(b.namespace_address.ip), port, CONTROL_S))
        targets = {"VM b": str(b.namespace_address.ip), "VM b's host end": str(b.host_address.ip)}
        return _silent("the host", control) + connect_to(_attackers(lab.a), targets, port)


def other_guests(lab: Lab) -> list[str]:
    """What guest b offers at its address is heard in its namespace only: guest a has the same address itself."""
    guest = str(lab.host.network.guest_address.ip)
    with tcp_server(lab.b.run, EVERYWHERE, WORD) as port:
        control = lab.b.vm.run(lambda: read_banner(guest, port, CONTROL_S))
        attackers: dict[str, Attacker] = {
            **_attackers(lab.a),
            "the host": lab.host.run,
            "the Internet": lab.internet.run,
        }
        return _silent("its own namespace", control) + connect_to(attackers, {"guest b": guest}, port)


def services_of_the_host(lab: Lab) -> list[str]:
    """VM a asks what listens on the host, at every address that the host has."""
    ends = {name: str(guest.vm.plan.host_address.ip) for name, guest in (("a", lab.a), ("b", lab.b))}
    with tcp_server(lab.host.run, EVERYWHERE, WORD) as port:
        control = lab.internet.run(lambda: read_banner(str(UPLINK.ip), port, CONTROL_S))
        targets = {
            "the host's uplink": str(UPLINK.ip),
            **{f"the host's end of {name}": end for name, end in ends.items()},
        }
        return _silent("the Internet", control) + connect_to(_attackers(lab.a), targets, port)


def secrets_of_others(lab: Lab, port: int) -> list[str]:
    """VM b's secrets are served on its gateway; VM a asks there, where it has a gateway of that address itself."""
    gateway, b = str(lab.host.network.gateway_address.ip), lab.b.vm.plan
    with tcp_server(lab.b.vm.run, EVERYWHERE, "secret of b", port):
        control = lab.b.run(lambda: read_banner(gateway, port, CONTROL_S))
        targets = {"b's gateway": gateway, "VM b": str(b.namespace_address.ip), "b's host end": str(b.host_address.ip)}
        return _silent("guest b", control) + connect_to(_attackers(lab.a), targets, port)


def vms_from_outside(lab: Lab) -> list[str]:
    """Somebody behind the uplink who knows the way asks what runs in VM a's namespace."""
    a = lab.a.vm.plan
    lab.internet.run(lambda: route(a.subnet, UPLINK.ip, "upstream"))
    with tcp_server(lab.a.vm.run, EVERYWHERE, WORD) as port:
        control = lab.host.run(lambda: read_banner(str(a.namespace_address.ip), port, CONTROL_S))
        targets = {"VM a": str(a.namespace_address.ip)}
        return _silent("the host", control) + connect_to({"the Internet": lab.internet.run}, targets, port)


def spoofed_sources(lab: Lab) -> list[str]:
    """Guest a sends datagrams in the name of others: of VM b, of its host end, of the uplink, of a name server."""
    b = lab.b.vm.plan
    other_guest = lab.host.network.guest_address.ip + 1
    names = [b.namespace_address.ip, b.host_address.ip, UPLINK.ip, lab.host.network.dns[0], other_guest]
    targets = [str(SITE), str(lab.a.vm.plan.host_address.ip), str(b.namespace_address.ip)]
    frames = [
        to_gateway(lab.a.vm, ipv4(str(name), target, socket.IPPROTO_UDP, udp(4242, DNS_PORT, ATTACK)))
        for name in names
        for target in targets
    ]
    return [f"a datagram with a forged source left VM a: {frame[26:34].hex()}" for frame in leaving(lab.a, frames)]


def untranslated_segments(lab: Lab) -> list[str]:
    """Guest a sends segments of connections that never were: NAT does not translate what conntrack calls invalid."""
    guest, site = str(lab.host.network.guest_address.ip), str(SITE)
    segments = [stray_segment(guest, site, HTTP_PORT, flags, ATTACK) for flags in (ACK, RST, SYN | FIN)]
    frames = [to_gateway(lab.a.vm, ipv4(guest, site, socket.IPPROTO_TCP, segment)) for segment in segments]
    sources = {socket.inet_ntoa(frame[26:30]) for frame in leaving(lab.a, frames)}
    return [f"a segment left VM a with the source {it}" for it in sources - {str(lab.a.vm.plan.namespace_address.ip)}]


def spoofing_namespace(lab: Lab) -> list[str]:
    """Root in namespace a, past all rules there, sends in the name of VM b; does it come out behind the uplink?"""
    a, site = lab.a.vm.plan, str(SITE)
    forged = ipv4(str(lab.b.vm.plan.namespace_address.ip), site, socket.IPPROTO_UDP, udp(4242, DNS_PORT, ATTACK))
    honest = ipv4(str(a.namespace_address.ip), site, socket.IPPROTO_ICMP, echo_request(SENTINEL))
    with (
        lab.internet.run(lambda: PacketSocket("upstream")) as outside,
        lab.host.run(lambda: PacketSocket(a.host_veth)) as far_end,
        lab.a.vm.run(lambda: PacketSocket(a.namespace_veth)) as near_end,
    ):
        for packet in (forged, honest):
            near_end.send(far_end.mac + near_end.mac + ETH_IPV4 + packet)
        return ["VM a sent a datagram as VM b" for frame in outside.until(SENTINEL) if ATTACK in frame]


def neighbours_by_broadcast(lab: Lab) -> list[str]:
    """Guest a asks by ARP for others, and claims to be the gateway; VM b's bridge and the host must not hear it."""
    network, b = lab.host.network, lab.b.vm.plan
    mac = bytes.fromhex(network.guest_mac.replace(":", ""))
    gateway, guest = str(network.gateway_address.ip), str(network.guest_address.ip)
    claims = [
        (guest, str(b.namespace_address.ip)),
        (guest, str(b.host_address.ip)),
        (gateway, guest),
        (gateway, gateway),
    ]
    frames = [arp_request(mac, sender, target) for sender, target in claims]
    with (
        lab.b.vm.run(lambda: PacketSocket(network.bridge_name)) as bridge,
        lab.b.run(lambda: PacketSocket(network.guest_interface)) as card,
    ):
        left = [f"an ARP request left VM a: {frame.hex()}" for frame in leaving(lab.a, frames)]
        ping = ipv4(guest, gateway, socket.IPPROTO_ICMP, echo_request(SENTINEL))
        card.send(to_gateway(lab.b.vm, ping))
        return left + [f"VM b heard VM a: {frame.hex()}" for frame in bridge.until(SENTINEL) if ATTACK in frame]


def around_by_ipv6(lab: Lab) -> list[str]:
    """IPv6 is no way around the IPv4 rules: a guest's does not leave, and its namespace has no address to talk to."""
    lines = lab.a.vm.run(lambda: Path("/proc/thread-self/net/if_inet6").read_text()).splitlines()
    addresses = [line for line in lines if not line.endswith(" lo")]
    sender, macs = IPv6Address("2001:db8:1::2"), to_gateway(lab.a.vm, b"")[:12]
    frames = [macs + ETH_IPV6 + ipv6(sender, target, ATTACK) for target in (IPv6Address("ff02::1"), OUTSIDE_IPV6)]
    left = [f"an IPv6 packet left VM a: {it.hex()}" for it in leaving(lab.a, frames)]
    return left + [f"VM a's namespace has the IPv6 address {address}" for address in addresses]


def _attackers(guest: FakeGuest) -> dict[str, Attacker]:
    """A guest, and root in its namespace, which is more than a guest may ever be."""
    return {"guest a": guest.run, "root in namespace a": lambda work: enter(guest.vm.name, work)}


def _silent(who: str, heard: str | None) -> list[str]:
    return [] if heard else [f"control failed: {who}, which is allowed, cannot reach the server either"]
