"""Assembles the namespace of a VM: its parts and their order (guide: Network Architecture)."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Sequence
from ipaddress import IPv4Network
from pathlib import Path
from types import TracebackType

from hornet.network import netns, nft, rtnl
from hornet.network.plan import VMPlan
from hornet.network.rtnl import Rtnl
from hornet.network.sysctl import set_sysctl
from hornet.network.tap import open_tap
from hornet.spec.network import Network

ANYWHERE = IPv4Network("0.0.0.0/0")
# Fixed indexes need no query. The kernel's own indexes are small, and each namespace has its own numbering.
BRIDGE_INDEX, VETH_INDEX = 10, 11
HOST_VETH_INDEX = 1 << 20


def host_veth_index(plan: VMPlan) -> int:
    """The index of a VM's veth end on the host."""
    return HOST_VETH_INDEX + plan.vm_id


class Builder:
    """Creates namespaces one after the other, on a thread of netns.on_thread that is in the host's namespace.

    The thread moves from one new namespace to the next; the builder keeps a descriptor of the host's. It is a context
    manager.
    """

    def __init__(self, network: Network) -> None:
        self._network = network
        self._rules = nft.namespace_rules(network)
        self._has_ipv6 = Path("/proc/sys/net/ipv6").exists()
        self._host = Rtnl()
        self._host_fd = os.open(netns.OWN, os.O_RDONLY | os.O_CLOEXEC)

    def __enter__(self) -> Builder:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._host.__exit__(kind, error, tb)
        os.close(self._host_fd)

    def make(self, plan: VMPlan, name: str) -> None:
        """Create one namespace. Raises NetworkError and then leaves nothing behind."""
        netns.check_free(name)
        netns.unshare(name)
        with Rtnl() as inside:
            self._add_bridge_and_tap(inside)
            inside.send([self._veth(plan)])
            try:
                self._connect(plan, inside)
                self._let_through(replace=False)
                netns.bind(name)
            except BaseException:
                # The kernel deletes it with the namespace, but later. The name must be free now.
                self._host.delete_links([host_veth_index(plan)])
                raise

    def repair(self, plan: VMPlan, name: str) -> None:
        """Add missing parts to an existing namespace. Correct parts are not touched, so running VMs stay connected."""
        netns.move_to(name)
        there = [errno.EEXIST]
        with Rtnl() as inside:
            self._add_bridge_and_tap(inside, ignore=there)
            inside.send([self._veth(plan)], ignore=there)
            self._connect(plan, inside, ignore=there)
            self._let_through(replace=True)

    def _add_bridge_and_tap(self, inside: Rtnl, ignore: Sequence[int] = ()) -> None:
        net = self._network
        if not interface_exists(net.tap_name):
            os.close(open_tap(net.tap_name, persist=True))
        group = net.interface_group
        messages = [
            # This marks the namespace: lo cannot be deleted.
            rtnl.set_link("lo", up=True, group=group),
            rtnl.add_bridge(net.bridge_name, index=BRIDGE_INDEX, mac=net.gateway_mac, group=group),
            *self._without_ipv6(net.bridge_name, net.tap_name),
            rtnl.add_address(net.bridge_name, BRIDGE_INDEX, net.gateway_address),
            rtnl.set_link(net.bridge_name, up=True, address=rtnl.mac_bytes(net.gateway_mac)),
            rtnl.set_link(net.tap_name, up=True, group=group, master=BRIDGE_INDEX),
        ]
        inside.send(messages, ignore=ignore)

    def _without_ipv6(self, *names: str) -> list[rtnl.Message]:
        return [rtnl.no_ipv6_address(name) for name in names] if self._has_ipv6 else []

    def _veth(self, plan: VMPlan) -> rtnl.Message:
        net = self._network
        group, mac, host_mac = net.interface_group, *map(rtnl.mac_bytes, (net.namespace_veth_mac, net.host_veth_mac))
        near = rtnl.link(plan.namespace_veth, index=VETH_INDEX, group=group, address=mac)
        index = host_veth_index(plan)
        far = rtnl.link(plan.host_veth, index=index, group=group, address=host_mac, net_ns_fd=self._host_fd)
        return rtnl.add_veth(f"{plan.namespace_veth} with {plan.host_veth}", near, far)

    def _connect(self, plan: VMPlan, inside: Rtnl, ignore: Sequence[int] = ()) -> None:
        """Set addresses, routes and neighbours at both ends of the veth; the host's route is via 10.0.N.1 (guide)."""
        net, index = self._network, host_veth_index(plan)
        host_mac, mac = map(rtnl.mac_bytes, (net.host_veth_mac, net.namespace_veth_mac))
        group = net.interface_group
        host_side = [
            *self._without_ipv6(plan.host_veth),
            rtnl.set_link(plan.host_veth, up=True, group=group, address=host_mac),
            rtnl.add_address(plan.host_veth, index, plan.host_address, connected_route=False),
            rtnl.set_route(plan.subnet, plan.namespace_address.ip, index),
            rtnl.set_neighbour(plan.namespace_address.ip, net.namespace_veth_mac, index),
        ]
        vm_side = [
            *self._without_ipv6(plan.namespace_veth),
            rtnl.set_link(plan.namespace_veth, up=True, address=mac),
            rtnl.add_address(plan.namespace_veth, VETH_INDEX, plan.namespace_address),
            rtnl.set_route(ANYWHERE, plan.host_address.ip, VETH_INDEX),
            rtnl.set_neighbour(plan.host_address.ip, net.host_veth_mac, VETH_INDEX),
        ]
        self._host.send(host_side, ignore=ignore)
        inside.send(vm_side, ignore=ignore)

    def _let_through(self, *, replace: bool) -> None:
        set_sysctl("net/ipv4/ip_forward", "1", in_own_namespace=True)
        nft.load_rules(self._rules, replace=replace)


def mark(network: Network) -> None:
    """Mark the calling thread's new namespace as the suite's, and bring up lo."""
    with Rtnl() as kernel:
        kernel.send([rtnl.set_link("lo", up=True, group=network.interface_group)])


def interface_exists(name: str) -> bool:
    """Whether the calling thread's namespace has an interface of that name."""
    try:
        socket.if_nametoindex(name)
    except OSError:
        return False
    return True
