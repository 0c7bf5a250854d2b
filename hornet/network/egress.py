"""By which way a guest's packets leave the host, as the kernel itself answers, and what drops them.

The kernel is asked (`ip route get fibmatch … from … iif …`) because a table of routes is not enough: policy rules, two
halves of a default route, several next hops and interfaces that may not forward all change the answer.
"""

from __future__ import annotations

import errno
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address
from pathlib import Path
from typing import TYPE_CHECKING

from hornet.network import trial
from hornet.network.netlink import open_netlink
from hornet.network.plan import VMPlan
from hornet.network.ruleset import Drop, Packet, Ruleset
from hornet.network.state import Link, read_links_and_routes
from hornet.spec.network import Network

if TYPE_CHECKING:
    from pyroute2 import IPRoute

    from hornet.network.host_side import VMNamespace

# linux/rtnetlink.h: answer with the whole route, with all its next hops.
RTM_F_FIB_MATCH = 0x2000
# An address in each half of the address space: a VPN may split the default route into two.
SAMPLES = (IPv4Address("1.1.1.1"), IPv4Address("193.0.14.129"))
REFUSALS = {
    errno.ENETUNREACH: "no route leads there",
    errno.EHOSTUNREACH: "a route refuses it as unreachable, or the interface may not forward",
    errno.EACCES: "a route prohibits it",
    errno.EINVAL: "a route discards it (blackhole)",
    errno.EXDEV: "its source address is refused (rp_filter)",
}
# The legacy iptables has its own rules in the kernel, which nftables does not list.
LEGACY_TABLES = Path("/proc/thread-self/net/ip_tables_names")


@dataclass(frozen=True)
class Egress:
    """Whether guests reach the Internet. problems: what prevents it; mends: commands; remarks: what else is known.

    examined: False for a private host without an uplink.
    """

    problems: tuple[str, ...] = ()
    mends: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()
    examined: bool = True


@dataclass(frozen=True)
class _Way:
    """The kernel's answer. interfaces: those of all next hops; empty if refused. refusal: why, or ""."""

    interfaces: tuple[str, ...]
    refusal: str = ""


def find_uplinks(network: Network) -> tuple[str, ...]:
    """The interfaces through which packets to the Internet leave the calling thread's namespace.

    A VM's interface is asked if there is one, because policy rules may lead guests elsewhere than the host itself.
    """
    links, _ = read_links_and_routes()
    ends = [it for it in links.values() if it.group == network.interface_group and it.kind == "veth" and it.addresses]
    found: dict[str, None] = {}
    with open_netlink() as kernel:
        for destination in (*network.dns, *SAMPLES):
            source = next(ends[0].addresses[0].network.hosts()) if ends else None
            way = _ask(kernel, links, destination, source, ends[0].index if ends else None)
            found.update(dict.fromkeys(way.interfaces))
    return tuple(name for name in found if links[name].group != network.interface_group)


def read_egress(vm: VMNamespace, uplinks: Sequence[str]) -> Egress:
    """Whether this VM's packets leave the calling thread's namespace, the host's, and answers come back.

    uplinks: the interfaces that the suite's rules accept. Raises NetworkError.
    """
    network, plan = vm.host.network, vm.plan
    links, _ = read_links_and_routes()
    end = links.get(plan.host_veth)
    no_uplink_yet = vm.host.namespace is not None and not any(name in links for name in uplinks)
    if end is None or no_uplink_yet:
        return Egress(examined=False)
    problems, ways = _routing(network, plan, links, end, uplinks)
    drops: list[Drop] = []
    remarks = _mtu_remarks(end, links, ways)
    if ways and not problems:
        drops, unsure = _drops(vm, links, ways)
        remarks += unsure
        problems += [f"host: a firewall drops packets of guests: {drop}" for drop in dict.fromkeys(drops)]
    mends = tuple(dict.fromkeys(mend for drop in drops for mend in _mends(network, drop)))
    return Egress(tuple(problems), mends, tuple(remarks))


def _routing(
    network: Network, plan: VMPlan, links: dict[str, Link], end: Link, uplinks: Sequence[str]
) -> tuple[list[str], dict[IPv4Address, tuple[str, ...]]]:
    """Problems of the routes there and back, and the interfaces by destination."""
    problems, ways = [], {}
    source = plan.namespace_address.ip
    with open_netlink() as kernel:
        for destination in network.dns or SAMPLES:
            way = _ask(kernel, links, destination, source, end.index)
            if way.refusal:
                problems.append(f"host: packets of guests to {destination} do not leave: {way.refusal}")
                continue
            wrong = [name for name in way.interfaces if name not in uplinks]
            if wrong:
                expected = ", ".join(uplinks) or "none"
                problems.append(
                    f"host: packets of guests to {destination} leave through {', '.join(wrong)}, expected {expected}"
                )
            ways[destination] = way.interfaces
            for name in way.interfaces:
                back = _ask(kernel, links, source, destination, links[name].index)
                if back.refusal:
                    problems.append(f"host: answers from {destination} do not pass from {name}: {back.refusal}")
    return problems, ways


def _ask(
    kernel: IPRoute, links: dict[str, Link], destination: IPv4Address, source: IPv4Address | None, iif: int | None
) -> _Way:
    """Where the kernel sends a packet that comes in through an interface; without one, a packet of the host itself."""
    from pyroute2.netlink.exceptions import NetlinkError

    names = {link.index: link.name for link in links.values()}
    place = {"src": str(source), "iif": iif} if iif is not None else {}
    try:
        (answer,) = kernel.route("get", dst=str(destination), flags=RTM_F_FIB_MATCH, **place)
    except NetlinkError as error:
        return _Way((), REFUSALS.get(error.code, str(error)))
    hops = answer.get("multipath") or [{"oif": answer.get("oif")}]
    return _Way(tuple(dict.fromkeys(names[hop["oif"]] for hop in hops if hop["oif"] in names)))


def _drops(
    vm: VMNamespace, links: dict[str, Link], ways: dict[IPv4Address, tuple[str, ...]]
) -> tuple[list[Drop], list[str]]:
    """Where packets are dropped, and remarks on what can't be known. A packet is tried where rules do not decide."""
    ruleset, plan, network = Ruleset(), vm.plan, vm.host.network
    legacy = tuple(Drop("ip", name, "FORWARD", 0, "a rule of iptables-legacy") for name in _legacy_tables())
    end = links[plan.host_veth]
    drops: list[Drop] = []
    remarks: list[str] = []
    for destination, interfaces in ways.items():
        tried: dict[str, bool] | None = None
        for name in interfaces:
            for protocol, port in trial.PORTS.items():
                out = _packet(
                    end, links[name], plan.namespace_address.ip, destination, protocol, "new", {"dport": port}
                )
                verdict = ruleset.verdict(("prerouting", "forward", "postrouting"), out)
                drops += verdict.dropped
                possible = verdict.possible + legacy
                if possible and not verdict.dropped:
                    if tried is None:
                        tried = trial.leaves_the_host(network.interface_group, destination, vm.run)
                    drops += () if tried[protocol] else possible
                back = _packet(
                    links[name], end, destination, plan.namespace_address.ip, protocol, "established", {"sport": port}
                )
                verdict = ruleset.verdict(("forward",), back)
                drops += verdict.dropped
                unsure = verdict.possible + (() if verdict.dropped else legacy)
                remarks += [f"whether answers to guests pass can't be told from {it}" for it in unsure]
    return drops, list(dict.fromkeys(remarks))


def _packet(
    into: Link,
    out: Link,
    source: IPv4Address,
    destination: IPv4Address,
    protocol: str,
    state: str,
    ports: dict[str, int],
) -> Packet:
    values: dict[str, str | int] = {
        "meta nfproto": "ipv4",
        "meta protocol": "ip",
        "meta l4proto": protocol,
        "ip protocol": protocol,
        "ip version": 4,
        "ip saddr": str(source),
        "ip daddr": str(destination),
        "ct state": state,
        **{f"{protocol} {which}": port for which, port in ports.items()},
    }
    for direction, link in (("i", into), ("o", out)):
        values[f"meta {direction}ifname"] = values[f"meta {direction}if"] = link.name
        values[f"meta {direction}ifgroup"] = link.group or "default"
    return Packet(protocol, values)


def _legacy_tables() -> list[str]:
    try:
        return LEGACY_TABLES.read_text().split()
    except OSError:
        return []


def _mends(network: Network, drop: Drop) -> list[str]:
    """Commands by which a firewall's owner lets guests through, until the firewall is loaded again."""
    if drop.rule.endswith("iptables-legacy"):
        return _iptables("iptables-legacy", network, drop.base)
    if drop.family == "ip" and drop.base.isupper():  # iptables' own names of chains
        return _iptables("iptables", network, drop.managers[0] if drop.managers else drop.base)
    if drop.table == "firewalld":
        return [f"firewall-cmd --zone=trusted --add-interface={_pattern(network)}"]
    chain = f"nft insert rule {drop.family} {drop.table} {drop.base}"
    group = network.interface_group
    return [f"{chain} iifgroup {group} accept", f"{chain} oifgroup {group} ct state established,related accept"]


def _iptables(program: str, network: Network, chain: str) -> list[str]:
    answers = "-m conntrack --ctstate RELATED,ESTABLISHED"
    name = _pattern(network)
    return [f"{program} -I {chain} -i {name} -j ACCEPT", f"{program} -I {chain} -o {name} {answers} -j ACCEPT"]


def _pattern(network: Network) -> str:
    return network.host_veth_name.partition("{n}")[0] + "+"


def _mtu_remarks(end: Link, links: dict[str, Link], ways: dict[IPv4Address, tuple[str, ...]]) -> list[str]:
    """Uplinks with smaller packets than the guests' cards."""
    names = dict.fromkeys(name for interfaces in ways.values() for name in interfaces)
    return [
        f"{name} has an MTU of {links[name].mtu}, guests have {end.mtu}: the rules clamp the MSS of their TCP "
        "connections to it"
        for name in names
        if links[name].mtu < end.mtu
    ]
