"""Reads the state of a network namespace with pyroute2, for checks and to find the suite's objects."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from pathlib import Path
from socket import AF_INET
from typing import Any

from hornet.network import netns, nft
from hornet.network.netlink import open_netlink

RT_TABLE_MAIN = 254
RT_TABLE_LOCAL = 255
NUD_PERMANENT = 0x80
# linux/rtnetlink.h: RTN_BLACKHOLE and its like.
RTN_REJECTING = {6: "blackhole", 7: "unreachable", 8: "prohibit", 9: "throw"}


@dataclass(frozen=True)
class Link:
    """An interface. kind: as in `bridge`, empty for hardware. master: the bridge of which it is a port."""

    name: str
    index: int
    kind: str
    mac: str
    mtu: int
    up: bool
    group: int
    master: str | None
    addresses: tuple[IPv4Interface, ...]


@dataclass(frozen=True)
class Route:
    """An IPv4 route of any table. interface: None for several next hops, and for a route that rejects.

    gateways: those of several next hops. rejects: how it does so, as in `unreachable`.
    """

    destination: IPv4Network
    gateway: IPv4Address | None
    interface: str | None
    main: bool
    rejects: str = ""
    gateways: tuple[IPv4Address, ...] = ()

    def __str__(self) -> str:
        gateway = f" via {self.gateway}" if self.gateway else ""
        interface = f" dev {self.interface}" if self.interface else ""
        return f"{self.rejects} {self.destination}{gateway}{interface}".lstrip()


@dataclass(frozen=True)
class NetFacts:
    """The state of one namespace. rules: the suite's rule set as nft lists it. neighbours: MACs of permanent ones."""

    links: dict[str, Link]
    routes: tuple[Route, ...]
    forwarding: bool
    rules: str | None
    neighbours: dict[IPv4Address, str]


def read_facts() -> NetFacts:
    """The facts of the calling thread's namespace."""
    links, routes = read_links_and_routes()
    forwarding = Path("/proc/sys/net/ipv4/ip_forward").read_text().strip() == "1"
    return NetFacts(links, routes, forwarding, nft.listed_rules(), _permanent_neighbours())


def read_links_and_routes() -> tuple[dict[str, Link], tuple[Route, ...]]:
    """Interfaces by name, and routes except those of table local, in the calling thread's namespace."""
    with open_netlink() as kernel:
        raw_links = list(kernel.get_links())
        raw_addresses = list(kernel.get_addr(family=AF_INET))
        raw_routes = list(kernel.get_routes(family=AF_INET))
    names = {link["index"]: link.get("ifname") for link in raw_links}
    addresses: dict[int, list[IPv4Interface]] = {}
    for raw in raw_addresses:
        addresses.setdefault(raw["index"], []).append(IPv4Interface((raw.get("local"), raw["prefixlen"])))
    links = {raw.get("ifname"): _link(raw, names, addresses) for raw in raw_links}
    return links, tuple(_route(raw, names) for raw in raw_routes if raw.get("table") != RT_TABLE_LOCAL)


def _permanent_neighbours() -> dict[IPv4Address, str]:
    with open_netlink() as kernel:
        known = list(kernel.get_neighbours(family=AF_INET))
    return {IPv4Address(it.get("dst")): it.get("lladdr") for it in known if it["state"] & NUD_PERMANENT}


def is_marked(group: int) -> bool:
    """Whether the calling thread's namespace belongs to the suite: its lo is in the suite's group."""
    with open_netlink() as kernel:
        return any(link.get("group") == group for link in kernel.get_links(1))


def rules_as_listed(rules: str) -> str | None:
    """The rule set as nft lists it: it is loaded into a temporary namespace and read back."""

    def load_and_list() -> str | None:
        netns.unshare("for comparison")
        nft.load_rules(rules, replace=False)
        return nft.listed_rules()

    return netns.on_thread(load_and_list)


def _link(raw: Any, names: dict[int, str], addresses: dict[int, list[IPv4Interface]]) -> Link:
    info = raw.get("linkinfo")
    return Link(
        name=raw.get("ifname"),
        index=raw["index"],
        kind=(info.get("kind") or "") if info else "",
        mac=raw.get("address") or "",
        mtu=raw.get("mtu"),
        up=bool(raw["flags"] & 1),
        group=raw.get("group") or 0,
        master=names.get(raw.get("master")),
        addresses=tuple(addresses.get(raw["index"], ())),
    )


def _route(raw: Any, names: dict[int, str]) -> Route:
    gateway = raw.get("gateway")
    return Route(
        destination=IPv4Network((raw.get("dst") or "0.0.0.0", raw["dst_len"])),
        gateway=IPv4Address(gateway) if gateway else None,
        interface=names.get(raw.get("oif")),
        main=raw.get("table") == RT_TABLE_MAIN,
        rejects=RTN_REJECTING.get(raw["type"], ""),
        gateways=tuple(IPv4Address(via) for hop in raw.get("multipath") or () if (via := hop.get("gateway"))),
    )
