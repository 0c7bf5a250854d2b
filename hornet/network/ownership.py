"""Finds the suite's network objects on a host. The kernel records ownership, not a state file that could be lost.

A namespace belongs to the suite if its lo is in the suite's interface group, an interface of the host if it is in that
group, and a name without a namespace if its file has the suite's mark. Names alone prove nothing.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from hornet.errors import NetworkError
from hornet.host.facts import require_root
from hornet.host.proc import is_running
from hornet.network import netns, nft
from hornet.network.host_side import HostNet
from hornet.network.plan import AddressPlan
from hornet.network.rtnl import delete_links
from hornet.network.state import is_marked, read_links_and_routes
from hornet.spec.network import RUN_PREFIX, Network

# The names of private hosts of tests, and of their VMs, contain the id of the process that created them.
RUN_NAME = re.compile(rf"{RUN_PREFIX}([0-9]+)-")


@dataclass(frozen=True)
class Inventory:
    """The suite's objects on one host. host_ends: index of each interface on the host, by name."""

    vm_ids: list[int] = field(default_factory=list)
    empty_names: list[str] = field(default_factory=list)
    host_ends: dict[str, int] = field(default_factory=dict)
    rules: bool = False

    def orphans(self, host: HostNet) -> list[str]:
        """Interfaces on the host whose namespace is gone."""
        expected = {host.vm(vm_id).plan.host_veth for vm_id in self.vm_ids}
        return [name for name in self.host_ends if name not in expected]

    def only(self, host: HostNet, vm_ids: Iterable[int]) -> Inventory:
        """The objects of these VMs."""
        vms = [host.vm(vm_id) for vm_id in vm_ids]
        ids, names, ends = {vm.vm_id for vm in vms}, {vm.name for vm in vms}, {vm.plan.host_veth for vm in vms}
        return Inventory(
            vm_ids=[vm_id for vm_id in self.vm_ids if vm_id in ids],
            empty_names=[name for name in self.empty_names if name in names],
            host_ends={name: index for name, index in self.host_ends.items() if name in ends},
        )


@dataclass(frozen=True)
class ListedVM:
    """The network of a VM. interface: its end on the host; None if that is missing."""

    name: str
    subnet: str
    interface: str | None


@dataclass(frozen=True)
class NetList:
    """What `hornetos net list` shows, with and without --json.

    orphans: interfaces on the host whose namespace is gone. names_only: names without a namespace. rules: whether the
    host's rules are loaded. leftovers: names of namespaces of test runs that ended, by process id.
    """

    vms: list[ListedVM]
    orphans: list[str]
    names_only: list[str]
    rules: bool
    leftovers: dict[int, list[str]]


def list_owned(host: HostNet) -> NetList:
    """Everything that the suite owns on a host; leftovers of test runs for the machine's own network only."""
    found = take_inventory(host)
    vms = [host.vm(vm_id) for vm_id in found.vm_ids]
    ends = {vm.name: vm.plan.host_veth if vm.plan.host_veth in found.host_ends else None for vm in vms}
    return NetList(
        vms=[ListedVM(vm.name, str(vm.plan.subnet), ends[vm.name]) for vm in vms],
        orphans=found.orphans(host),
        names_only=found.empty_names,
        rules=found.rules,
        leftovers={} if host.namespace else leftovers(host.network),
    )


def take_inventory(host: HostNet) -> Inventory:
    """Find the suite's objects on a host; none if the host does not exist."""
    if host.namespace and not (netns.exists(host.namespace) and host.is_ours()):
        return Inventory()
    group = host.network.interface_group
    named = {name: vm_id for name in netns.names() if (vm_id := _vm_id(host, name)) is not None}
    empty = [name for name in named if netns.is_empty_mark(name)]
    ours = _marked(named, group)
    links, _ = host.run(read_links_and_routes)
    return Inventory(
        vm_ids=sorted(named[name] for name in ours),
        empty_names=empty,
        host_ends={link.name: link.index for link in links.values() if link.group == group and link.name != "lo"},
        rules=(listed := host.run(nft.listed_rules)) is not None and nft.is_ours(listed),
    )


def remove_found(host: HostNet, found: Inventory) -> None:
    """Remove exactly the objects of VMs that an inventory lists."""
    if found.host_ends:
        host.run(lambda: delete_links(list(found.host_ends.values())))
    for name in [*(host.vm(vm_id).name for vm_id in found.vm_ids), *found.empty_names]:
        netns.remove(name)


def leftovers(network: Network) -> dict[int, list[str]]:
    """Names of namespaces from test runs whose process is dead, by process id.

    A process in another PID namespace has another id there: its host's namespace, which it holds, says that it lives.
    """
    names = [name for name in netns.names() if RUN_NAME.match(name)]
    held = tuple(name.removesuffix("host") for name in names if name.endswith("-host") and netns.is_held(name))
    dead: dict[int, list[str]] = {}
    for name in names:
        found = RUN_NAME.match(name)
        if found and not is_running(int(found[1])) and not name.startswith(held):
            dead.setdefault(int(found[1]), []).append(name)
    suspects = [name for names in dead.values() for name in names]
    ours = {*_marked(suspects, network.interface_group), *filter(netns.is_empty_mark, suspects)}
    return {pid: kept for pid, names in dead.items() if (kept := [name for name in names if name in ours])}


def remove_leftovers(network: Network) -> list[str]:
    """Remove leftovers of killed test runs; returns the names of removed namespaces."""
    names = [name for names in leftovers(network).values() for name in names]
    for name in names:
        netns.remove(name)
    return names


@contextmanager
def host_of_this_run(network: Network, *, private: bool) -> Iterator[HostNet]:
    """The network that plays the host for this process: its own, or the machine's. What killed runs left is removed.

    Raises HostError without root, NetworkError.
    """
    require_root()
    remove_leftovers(network)
    with HostNet.private(network, f"{RUN_PREFIX}{os.getpid()}-") if private else HostNet.machine(network) as host:
        yield host


def _vm_id(host: HostNet, name: str) -> int | None:
    return AddressPlan(host.network).vm_id(name.removeprefix(host.prefix)) if name.startswith(host.prefix) else None


def _marked(names: Iterable[str], group: int) -> list[str]:
    """The names whose namespace belongs to the suite."""

    def look() -> list[str]:
        found = []
        for name in names:
            try:
                netns.move_to(name)
            except NetworkError:
                continue  # removed meanwhile, or a name without a namespace
            if is_marked(group):
                found.append(name)
        return found

    return netns.on_thread(look)
