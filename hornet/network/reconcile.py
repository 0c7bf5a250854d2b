"""Networks that outlive their process (`hornetos net`): create missing ones, repair broken ones, report problems."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hornet.errors import NetworkError
from hornet.network import netns, nft
from hornet.network import verify as checks
from hornet.network.egress import Egress, read_egress
from hornet.network.host_side import HostNet
from hornet.network.ownership import take_inventory
from hornet.network.state import NetFacts, read_facts, rules_as_listed
from hornet.network.taken import neighbourhood_remarks


@dataclass(frozen=True)
class NetCheck:
    """`hornetos net check --json`. correct: how many of the `of` VM networks are correct; problems: what is wrong.

    egress: of the first VM; its defaults if that network or the host's side is not correct.
    """

    correct: int
    of: int
    problems: list[str]
    egress: Egress


@dataclass(frozen=True)
class Changes:
    """The result of bring_up(), as VM ids."""

    made: list[int]
    repaired: list[int]


def bring_up(host: HostNet, vm_ids: Sequence[int]) -> Changes:
    """Create missing networks and repair broken ones. Correct ones are not touched, so running VMs are not disturbed.

    Raises NetworkError if one cannot be created or repaired. Networks that this call created are then removed.
    """
    host.start()
    there = set(take_inventory(host).vm_ids)
    problems = vm_problems(host, [vm_id for vm_id in vm_ids if vm_id in there])
    broken = [vm_id for vm_id, found in problems.items() if found]
    host.repair(broken)
    for vm_id, found in vm_problems(host, broken).items():
        if found:
            raise NetworkError(
                f"VM {vm_id} cannot be repaired: {'; '.join(found)}",
                "remove it with `hornetos net down`, then create it again",
            )
    made = host.create_many([vm_id for vm_id in vm_ids if vm_id not in there])
    host.renew_uplinks()
    return Changes([vm.vm_id for vm in made], broken)


def host_problems(host: HostNet) -> list[str]:
    """Problems of the host's parts that all VMs share."""
    if host.namespace and not netns.exists(host.namespace):
        return [f"host: no namespace {host.namespace}"]
    return checks.host_problems(host.run(read_facts), rules_as_listed(nft.host_rules(host.network, host.uplinks)))


def egress(host: HostNet, vm_id: int) -> Egress:
    """Whether packets of this VM leave the host and answers come back. Sends a packet if rules do not tell it."""
    return host.run(lambda: read_egress(host.vm(vm_id), host.uplinks))


def remarks(host: HostNet, vm_ids: Sequence[int]) -> list[str]:
    """What else to know about the networks of these VMs on this host."""
    plans = [host.plan.for_vm(vm_id) for vm_id in vm_ids]
    return host.run(lambda: neighbourhood_remarks(host.network, plans))


def vm_problems(host: HostNet, vm_ids: Sequence[int]) -> dict[int, list[str]]:
    """Problems of each VM's network, in its namespace and on the host; an empty list for a correct one."""
    if not vm_ids:
        return {}
    network = host.network
    rules = rules_as_listed(nft.namespace_rules(network))
    outside = host.run(read_facts)

    def look() -> dict[int, list[str]]:
        found = {}
        for vm in map(host.vm, vm_ids):
            inside = facts_of(vm.name)
            problems = (
                checks.namespace_problems(network, vm.plan, inside, rules)
                if inside
                else [f"{vm.plan.namespace}: no namespace"]
            )
            found[vm.vm_id] = problems + checks.host_end_problems(network, vm.plan, outside)
        return found

    return netns.on_thread(look)


def facts_of(name: str) -> NetFacts | None:
    """Move the calling thread into a namespace and read its facts; None if the namespace does not exist."""
    if not netns.exists(name) or netns.is_empty_mark(name):
        return None
    netns.move_to(name)
    return read_facts()
