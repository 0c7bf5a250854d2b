"""Which addresses of the plan belong to others: to this host, or to somebody whom it must still reach.

A VM's subnet on the host hides the same addresses elsewhere: a gateway, a name server or an SSH client in it would be
cut off.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

import psutil

from hornet.network.plan import Taken, VMPlan
from hornet.network.state import Link, Route, read_links_and_routes
from hornet.spec.network import Network

# With systemd-resolved, the first names only 127.0.0.53.
RESOLV_CONF = (Path("/etc/resolv.conf"), Path("/run/systemd/resolve/resolv.conf"))
# No network is larger than 10.0.0.0/8: a shorter prefix is a part of a default route, as VPNs split it.
LARGEST_NETWORK = 8
# Ranges for private use, shared address space and benchmarks (RFC 1918, 6598, 2544).
OTHER_RANGES = tuple(map(IPv4Network, ("100.64.0.0/10", "172.16.0.0/12", "198.18.0.0/15", "10.0.0.0/8")))


def taken_networks(network: Network, *, machine: bool) -> list[Taken]:
    """What the calling thread's namespace uses itself. machine: it is the machine's own, with this process in it."""
    links, routes = read_links_and_routes()
    ours = {link.name for link in links.values() if link.group == network.interface_group}
    foreign_links = [link for link in links.values() if link.name not in ours]
    foreign_routes = [route for route in routes if route.interface not in ours]
    found = [*_addresses(foreign_links), *_routes(network, foreign_routes), *_gateways(foreign_routes)]
    return found + ([*_name_servers(), *_peers()] if machine else [])


def hint(taken: Sequence[Taken]) -> str:
    """The way out if a VM's subnet is taken: a range in which nothing is."""
    free = next((it for it in OTHER_RANGES if not any(it.overlaps(other.network) for other in taken)), OTHER_RANGES[0])
    last = (1 << (24 - free.prefixlen)) - 1
    setting = f'[network] uplink_base = "{free}", max_vm_id = {last}'
    return f"use other VM ids, or set network.uplink_base in an overlay: {setting}"


def neighbourhood_remarks(network: Network, plans: Sequence[VMPlan]) -> list[str]:
    """Which networks around the calling thread's namespace are hidden by VMs, as far as this host can tell.

    Whether somebody has these addresses, only the owner of the network knows.
    """
    links, routes = read_links_and_routes()
    taken = [*_addresses(links.values()), *_routes(network, routes)]
    first, last = plans[0].subnet, plans[-1].subnet
    shown = str(first) if first == last else f"{first} … {last}"
    return [
        f"{link.name} has {address}, so others around this host may have addresses of {network.uplink_base} too: "
        f"as long as these VMs have networks, this host reaches nobody else at {shown}. If there is somebody, "
        f"run `hornetos net down`, then {hint(taken)}"
        for link in links.values()
        if link.group != network.interface_group
        for address in link.addresses
        if address.ip in network.uplink_base and address.network.prefixlen > network.uplink_base.prefixlen
    ]


def _addresses(links: Iterable[Link]) -> list[Taken]:
    return [
        Taken(IPv4Network(address.ip), f"the address {address} of {link.name}")
        for link in links
        for address in link.addresses
    ]


def _routes(network: Network, routes: Iterable[Route]) -> list[Taken]:
    """Networks to which routes lead.

    A route that rejects all of a larger network is nobody's: the more specific route to a VM wins. One that rejects
    a VM's subnet, or a part of it, would stop the VM's packets.
    """
    return [
        Taken(route.destination, f"the route {route}")
        for route in routes
        if route.destination.prefixlen >= (network.uplink_prefix_length if route.rejects else LARGEST_NETWORK)
    ]


def _gateways(routes: Iterable[Route]) -> list[Taken]:
    hops = {hop: route for route in routes for hop in (route.gateway, *route.gateways) if hop}
    return [Taken(IPv4Network(hop), f"the gateway {hop} of the route {route}") for hop, route in hops.items()]


def _name_servers() -> Iterator[Taken]:
    for path in RESOLV_CONF:
        try:
            text = path.read_text(encoding="utf-8", errors="replace")
        except OSError:
            continue
        for address in re.findall(r"^\s*nameserver\s+([0-9.]+)\s*$", text, re.MULTILINE):
            if network := _single(address):
                yield Taken(network, f"the name server {address} of {path}")


def _peers() -> Iterator[Taken]:
    """Whom this host speaks with: the client of this SSH session, and the other end of each TCP connection."""
    if client := _ssh_client():
        yield Taken(client, f"the client of this SSH session, {client.network_address}")
    for connection in psutil.net_connections("tcp4"):
        if connection.status == psutil.CONN_ESTABLISHED and connection.raddr:
            address, port = connection.raddr
            yield Taken(IPv4Network(address), f"the other end of a connection with {address}:{port}")


def _ssh_client() -> IPv4Network | None:
    """The client of the SSH session in which this process runs. sudo removes the variable, but not from its parents."""
    process = psutil.Process()
    for each in (process, *process.parents()):
        try:
            words = each.environ().get("SSH_CONNECTION", "").split()
        except psutil.Error:
            continue
        if words:
            return _single(words[0])
    return None


def _single(address: str) -> IPv4Network | None:
    try:
        return IPv4Network(IPv4Address(address))
    except ValueError:
        return None
