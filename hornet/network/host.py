"""The host side, and the namespace of each VM on it (guide: Network Architecture)."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv4Interface
from pathlib import Path
from types import TracebackType
from typing import TypeVar

from hornet.errors import HornetError, NetworkError
from hornet.network import netns, nft
from hornet.network.plan import AddressPlan, VMPlan
from hornet.network.rtnl import Batch
from hornet.network.tap import open_tap
from hornet.spec import Network

T = TypeVar("T")

LO_INDEX = 1
# Fixed indexes in a fresh namespace save asking the kernel which ones it chose.
BRIDGE_INDEX, VETH_INDEX = 10, 11


@dataclass
class VMNamespace:
    """One VM's namespace: br-vm with tap0, the veth to the host, NAT. Made by HostNet.create()."""

    plan: VMPlan
    name: str
    host: HostNet

    @property
    def vm_id(self) -> int:
        return self.plan.vm_id

    def open_tap(self) -> int:
        """A descriptor of the VM's tap, for a VMM; the caller closes it."""
        return self.run(lambda: open_tap(self.host.network.tap_name))

    def run(self, inside: Callable[[], T]) -> T:
        """Run a function in the namespace, on a thread of its own."""
        return netns.enter(self.name, inside)

    def make_socket(self, kind: socket.SocketKind = socket.SOCK_STREAM) -> socket.socket:
        """An IPv4 socket that lives in the namespace."""
        return self.run(lambda: socket.socket(socket.AF_INET, kind))

    def connect(self, address: str, port: int, timeout_s: float) -> socket.socket:
        """A TCP connection made from inside the namespace. Raises OSError as socket.connect does."""
        connection = self.make_socket()
        try:
            connection.settimeout(timeout_s)
            connection.connect((address, port))
        except BaseException:
            connection.close()
            raise
        return connection

    def remove(self) -> None:
        """Remove the namespace with all that is in it."""
        self.host.forget(self)
        netns.remove(self.name)


class HostNet:
    """The network that plays the host: a private namespace (tests), or the machine's own.

    A context manager: leaving it removes every namespace that it made.
    """

    def __init__(self, network: Network, *, prefix: str, namespace: str | None, uplink: str | None) -> None:
        self.network = network
        self.plan = AddressPlan(network)
        self.prefix = prefix
        self.namespace = namespace
        self.uplink = uplink
        self._vms: dict[int, VMNamespace] = {}

    @classmethod
    def private(cls, network: Network, prefix: str) -> HostNet:
        """A host in a namespace of its own, called `<prefix>host`: the machine's network is not touched."""
        return cls(network, prefix=prefix, namespace=f"{prefix}host", uplink=None)

    @classmethod
    def machine(cls, network: Network) -> HostNet:
        """The machine's own network, with the guide's names; VMs leave by the interface of the default route."""
        return cls(network, prefix="", namespace=None, uplink=default_interface())

    def __enter__(self) -> HostNet:
        if self.namespace:
            netns.create(self.namespace, self._start)
        else:
            self._start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Remove all that this object made."""
        for vm in list(self._vms.values()):
            vm.remove()
        if self.namespace:
            netns.remove(self.namespace)

    def run(self, inside: Callable[[], T]) -> T:
        """Run a function in the host's network."""
        return netns.enter(self.namespace, inside)

    def create(self, vm_id: int) -> VMNamespace:
        """Make the namespace of VM `vm_id` with everything that the guide's topology has.

        Raises NetworkError; then nothing is left behind.
        """
        plan = self.plan.for_vm(vm_id)
        vm = VMNamespace(plan, f"{self.prefix}{plan.namespace}", self)
        host_fd = self.run(lambda: os.open("/proc/thread-self/ns/net", os.O_RDONLY))
        try:
            netns.create(vm.name, lambda: self._build_inside(plan, host_fd))
        finally:
            os.close(host_fd)
        try:
            self.run(lambda: self._build_host_side(plan))
        except HornetError:
            netns.remove(vm.name)
            raise
        self._vms[vm_id] = vm
        return vm

    def forget(self, vm: VMNamespace) -> None:
        """Take a namespace that is being removed off the list, and its veth away.

        The kernel would remove the veth with the namespace, but later, and the name must be free now.
        """
        self._vms.pop(vm.vm_id, None)
        self.run(lambda: _remove_link(vm.plan.host_veth))

    def _start(self) -> None:
        batch = Batch()
        if self.namespace:
            batch.link("lo", "set", index=LO_INDEX, state="up")
            batch.send()
        set_sysctl("net/ipv4/ip_forward", "1")
        nft.load_rules(nft.host_rules(self.network, self.uplink))

    def _build_inside(self, plan: VMPlan, host_fd: int) -> None:
        net = self.network
        os.close(open_tap(net.tap_name, persist=True))
        tap_index = socket.if_nametoindex(net.tap_name)
        batch = Batch()
        batch.link("lo", "set", index=LO_INDEX, state="up")
        batch.link(
            net.bridge_name, "add", ifname=net.bridge_name, index=BRIDGE_INDEX, kind="bridge", address=net.gateway_mac
        )
        _add_address(batch, net.bridge_name, BRIDGE_INDEX, net.gateway_address)
        batch.link(net.bridge_name, "set", index=BRIDGE_INDEX, state="up")
        batch.link(net.tap_name, "set", index=tap_index, master=BRIDGE_INDEX, state="up")
        peer = {"ifname": plan.host_veth, "net_ns_fd": host_fd}
        batch.link(plan.namespace_veth, "add", ifname=plan.namespace_veth, index=VETH_INDEX, kind="veth", peer=peer)
        _add_address(batch, plan.namespace_veth, VETH_INDEX, plan.namespace_address)
        batch.link(plan.namespace_veth, "set", index=VETH_INDEX, state="up")
        batch.route("default", "add", dst="default", gateway=str(plan.host_address.ip), oif=VETH_INDEX)
        batch.send()
        set_sysctl("net/ipv4/ip_forward", "1")
        nft.load_rules(nft.namespace_rules(plan))

    def _build_host_side(self, plan: VMPlan) -> None:
        index = socket.if_nametoindex(plan.host_veth)
        batch = Batch()
        _add_address(batch, plan.host_veth, index, plan.host_address)
        batch.link(plan.host_veth, "set", index=index, state="up")
        batch.send()


def _add_address(batch: Batch, name: str, index: int, address: IPv4Interface) -> None:
    batch.address(name, "add", index=index, address=str(address.ip), prefixlen=address.network.prefixlen)


def _remove_link(name: str) -> None:
    try:
        index = socket.if_nametoindex(name)
    except OSError:
        return  # already gone
    batch = Batch()
    batch.link(name, "del", index=index)
    batch.send()


def set_sysctl(name: str, value: str) -> None:
    """Set a network sysctl in the calling thread's namespace."""
    try:
        Path("/proc/sys", name).write_text(value)
    except OSError as error:
        raise NetworkError(f"sysctl {name}={value}: {error.strerror}", "run as root") from error


def default_interface() -> str | None:
    """The interface of the machine's default route, or None."""
    for line in Path("/proc/net/route").read_text().splitlines()[1:]:
        name, destination = line.split()[:2]
        if destination == "00000000":
            return name
    return None
