"""The address plan as a pure function: VM id in, names and addresses out (guide: IP Addressing Scheme)."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Interface, IPv4Network

from hornet.errors import NetworkError
from hornet.spec.network import Network


@dataclass(frozen=True)
class VMPlan:
    """Names and addresses of one VM. subnet: the guide's 10.0.N.0/24."""

    vm_id: int
    namespace: str
    namespace_veth: str
    host_veth: str
    subnet: IPv4Network
    namespace_address: IPv4Interface
    host_address: IPv4Interface


@dataclass(frozen=True)
class Taken:
    """A network that the host already uses. what: as in `the route 10.0.0.0/8 dev eth0`."""

    network: IPv4Network
    what: str


@dataclass(frozen=True)
class AddressPlan:
    """The plan for every VM id.

    Up to 255 it is the guide's formula, 10.0.N.0/24. The guide wants more VMs than that, so the plan goes on
    where the formula ends: VM N has the Nth subnet of uplink_base, and 256 has 10.1.0.0/24. Subnet 0 holds the
    guests' own network, which is the same in every namespace, and belongs to no VM.
    """

    network: Network

    @property
    def largest_id(self) -> int:
        return self.network.max_vm_id

    def for_vm(self, vm_id: int) -> VMPlan:
        """The plan of one VM. Raises NetworkError for an id outside 1 … max_vm_id."""
        if not 1 <= vm_id <= self.largest_id:
            raise NetworkError(f"VM id {vm_id}: expected 1 … {self.largest_id}", "choose a free id in this range")
        net = self.network
        step = 1 << (32 - net.uplink_prefix_length)
        subnet = IPv4Network((int(net.uplink_base.network_address) + vm_id * step, net.uplink_prefix_length))
        return VMPlan(
            vm_id=vm_id,
            namespace=net.namespace_name.format(n=vm_id),
            namespace_veth=net.namespace_veth_name.format(n=vm_id),
            host_veth=net.host_veth_name.format(n=vm_id),
            subnet=subnet,
            namespace_address=_interface(subnet, net.uplink_namespace_host),
            host_address=_interface(subnet, net.uplink_host_host),
        )

    def vm_id(self, namespace: str) -> int | None:
        """The id of the VM whose namespace has this name; None if no VM has it."""
        pattern = re.escape(self.network.namespace_name).replace(r"\{n\}", "([1-9][0-9]*)")
        found = re.fullmatch(pattern, namespace, re.ASCII)
        return int(found[1]) if found and int(found[1]) <= self.largest_id else None


def overlaps(plan: VMPlan, taken: Iterable[Taken]) -> list[str]:
    """One sentence for each network of the host that overlaps the VM's subnet."""
    return [f"{plan.host_veth}: {plan.subnet} overlaps {it.what}" for it in taken if it.network.overlaps(plan.subnet)]


def _interface(subnet: IPv4Network, host: int) -> IPv4Interface:
    return IPv4Interface((int(subnet.network_address) + host, subnet.prefixlen))
