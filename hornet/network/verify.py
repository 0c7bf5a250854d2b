"""Compares the state of a network with the guide (guide: Network Architecture, IP Addressing Scheme)."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Interface

from hornet.network.plan import VMPlan
from hornet.network.state import Link, NetFacts
from hornet.spec.network import Network


def namespace_problems(network: Network, plan: VMPlan, facts: NetFacts, rules: str | None) -> list[str]:
    """Problems inside a VM's namespace. rules: the expected rule set, as nft lists it."""
    where, links = plan.namespace, facts.links
    problems = [
        *bridge_problems(network, plan, facts),
        *tap_problems(network, plan, facts),
        *veth_problems(network, plan, facts),
        *rule_problems(where, facts, rules),
    ]
    names = (network.bridge_name, network.tap_name, plan.namespace_veth)
    mtus = {links[name].mtu for name in names if name in links}
    if len(mtus) > 1:
        problems.append(f"{where}: {', '.join(names)} differ in MTU: {sorted(mtus)}")
    return problems


def bridge_problems(network: Network, plan: VMPlan, facts: NetFacts) -> list[str]:
    """Problems of the bridge in a VM's namespace."""
    where, bridge = plan.namespace, network.bridge_name
    problems = _link_problems(where, facts, bridge, "bridge", [network.gateway_address])
    return problems + _mac_problems(where, facts, bridge, network.gateway_mac)


def tap_problems(network: Network, plan: VMPlan, facts: NetFacts) -> list[str]:
    """Problems of the tap, which is a port of the bridge."""
    where, tap, bridge = plan.namespace, network.tap_name, network.bridge_name
    problems = _link_problems(where, facts, tap, "tun", [])
    if tap in facts.links and facts.links[tap].master != bridge:
        problems.append(f"{where}: {tap} is attached to {facts.links[tap].master or 'nothing'}, expected {bridge}")
    return problems


def veth_problems(network: Network, plan: VMPlan, facts: NetFacts) -> list[str]:
    """Problems of the namespace's end of the veth pair and of the route through it."""
    where, veth = plan.namespace, plan.namespace_veth
    problems = _link_problems(where, facts, veth, "veth", [plan.namespace_address])
    problems += _mac_problems(where, facts, veth, network.namespace_veth_mac)
    problems += _route_problems(where, facts, "0.0.0.0/0", f"0.0.0.0/0 via {plan.host_address.ip} dev {veth}")
    problems += _neighbour_problems(where, facts, plan.host_address.ip, network.host_veth_mac)
    if veth in facts.links and facts.links[veth].master:
        problems.append(f"{where}: {veth} is a port of {facts.links[veth].master}, expected none: it is routed")
    return problems


def host_end_problems(network: Network, plan: VMPlan, facts: NetFacts) -> list[str]:
    """Problems of the host's side of one VM."""
    problems = _link_problems("host", facts, plan.host_veth, "veth", [plan.host_address])
    link = facts.links.get(plan.host_veth)
    if link and link.group != network.interface_group:
        problems.append(
            f"host: {plan.host_veth} is in group {link.group}, expected {network.interface_group}: no rule matches it"
        )
    problems += _mac_problems("host", facts, plan.host_veth, network.host_veth_mac)
    route = f"{plan.subnet} via {plan.namespace_address.ip} dev {plan.host_veth}"
    problems += _route_problems("host", facts, str(plan.subnet), route)
    return problems + _neighbour_problems("host", facts, plan.namespace_address.ip, network.namespace_veth_mac)


def host_problems(facts: NetFacts, rules: str | None) -> list[str]:
    """Problems of the host's parts that all VMs share."""
    return rule_problems("host", facts, rules)


def rule_problems(where: str, facts: NetFacts, rules: str | None) -> list[str]:
    """Problems of forwarding and of the rule set with its NAT. rules: the expected rule set, as nft lists it."""
    problems = [] if facts.forwarding else [f"{where}: ip_forward is disabled"]
    if facts.rules is None:
        problems.append(f"{where}: no rule set")
    elif facts.rules != rules:
        different = [line for line in facts.rules.splitlines() if line not in (rules or "").splitlines()]
        missing = [line for line in (rules or "").splitlines() if line not in facts.rules.splitlines()]
        shown = "; ".join(
            [f"unexpected: {line.strip()}" for line in different] + [f"missing: {line.strip()}" for line in missing]
        )
        problems.append(f"{where}: the rule set differs from the expected one ({shown or 'another order'})")
    return problems


def _link_problems(where: str, facts: NetFacts, name: str, kind: str, addresses: list[IPv4Interface]) -> list[str]:
    link: Link | None = facts.links.get(name)
    if link is None:
        return [f"{where}: no interface {name}"]
    problems = []
    if link.kind != kind:
        problems.append(f"{where}: {name} is a {link.kind or 'device'}, expected a {kind}")
    if not link.up:
        problems.append(f"{where}: {name} is down")
    if list(link.addresses) != addresses:
        shown, wanted = (", ".join(map(str, them)) or "none" for them in (link.addresses, addresses))
        problems.append(f"{where}: {name} has the addresses {shown}, expected exactly {wanted}")
    return problems


def _mac_problems(where: str, facts: NetFacts, name: str, mac: str) -> list[str]:
    link = facts.links.get(name)
    return [f"{where}: {name} has the MAC {link.mac}, expected {mac}"] if link and link.mac != mac else []


def _neighbour_problems(where: str, facts: NetFacts, address: IPv4Address, mac: str) -> list[str]:
    found = facts.neighbours.get(address)
    return [] if found == mac else [f"{where}: the neighbour {address} is {found or 'not set'}, expected {mac}"]


def _route_problems(where: str, facts: NetFacts, destination: str, expected: str) -> list[str]:
    found = [str(route) for route in facts.routes if str(route.destination) == destination]
    if found == [expected]:
        return []
    return [f"{where}: routes to {destination}: {', '.join(found) or 'none'}; expected exactly {expected}"]
