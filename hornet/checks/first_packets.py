"""The first packets of a restored guest come from its own address and go to the gateway."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence

from hornet.checks.check import check
from hornet.spec.network import Network

BROADCAST = "ff:ff:ff:ff:ff:ff"
ETHERTYPE_IPV4, ETHERTYPE_ARP = 0x0800, 0x0806
# RFC 826: the sender is at offset 8 (MAC) and 14 (address) of an ARP packet. RFC 791: the source is at 12 of IPv4.
ARP_SENDER_MAC, ARP_SENDER, IPV4_SOURCE = 8, 14, 12
HEADER_BYTES = 14


@check("first_packet")
def first_packet_problems(vm: str, network: Network, frames: Sequence[bytes]) -> list[str]:
    """Frames that do not carry the guest's own addresses, or that would not reach the gateway."""
    if not frames:
        return [f"{vm}: its network card sent nothing"]
    return [f"{vm}: frame {i}: {problem}" for i, frame in enumerate(frames) for problem in _problems(network, frame)]


def _problems(network: Network, frame: bytes) -> list[str]:
    target, source, kind = _mac(frame, 0), _mac(frame, 6), int.from_bytes(frame[12:HEADER_BYTES], "big")
    body = frame[HEADER_BYTES:]
    problems = []
    if source != network.guest_mac:
        problems.append(f"sent from {source}, expected {network.guest_mac}")
    if kind == ETHERTYPE_ARP:
        if target not in (BROADCAST, network.gateway_mac):
            problems.append(f"ARP to {target}, expected the gateway {network.gateway_mac} or broadcast")
        problems += _address_problems(network, "ARP", body[ARP_SENDER : ARP_SENDER + 4])
        if _mac(body, ARP_SENDER_MAC) != network.guest_mac:
            problems.append(f"ARP sender MAC {_mac(body, ARP_SENDER_MAC)}, expected {network.guest_mac}")
    if kind == ETHERTYPE_IPV4:
        if target != network.gateway_mac:
            problems.append(f"IPv4 to {target}, expected the gateway {network.gateway_mac}: a stale ARP entry")
        problems += _address_problems(network, "IPv4", body[IPV4_SOURCE : IPV4_SOURCE + 4])
    return problems


def _address_problems(network: Network, what: str, address: bytes) -> list[str]:
    found = ipaddress.IPv4Address(address)
    return [] if found == network.guest_address.ip else [f"{what} from {found}, expected {network.guest_address.ip}"]


def _mac(data: bytes, at: int) -> str:
    return data[at : at + 6].hex(":")
