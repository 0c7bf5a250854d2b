"""The host's side of the network, and the namespaces of its VMs (guide: Network Architecture)."""

from __future__ import annotations

import fcntl
import os
import socket
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from types import TracebackType
from typing import TypeVar
from weakref import WeakSet

from hornet.errors import NetworkError
from hornet.network import netns, nft
from hornet.network.assemble import Builder, host_veth_index, mark
from hornet.network.egress import find_uplinks
from hornet.network.plan import AddressPlan, Taken, VMPlan, overlaps
from hornet.network.rtnl import delete_links
from hornet.network.state import is_marked, read_links_and_routes
from hornet.network.sysctl import set_sysctl
from hornet.network.taken import hint, taken_networks
from hornet.spec.network import Network

T = TypeVar("T")


@dataclass
class VMNamespace:
    """One VM's namespace: br-vm with tap0, the veth to the host, NAT. HostNet creates it."""

    plan: VMPlan
    name: str
    host: HostNet
    _sockets: WeakSet[socket.socket] = field(default_factory=WeakSet, init=False, repr=False, compare=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False, repr=False, compare=False)
    _closed: bool = field(default=False, init=False, repr=False, compare=False)

    @property
    def vm_id(self) -> int:
        return self.plan.vm_id

    def run(self, inside: Callable[[], T]) -> T:
        """Run a function in the namespace, on its own thread."""
        return netns.enter(self.name, inside)

    def make_socket(self, kind: socket.SocketKind = socket.SOCK_STREAM, protocol: int = 0) -> socket.socket:
        """An IPv4 socket in the namespace, closed with it. Raises NetworkError if the namespace was removed."""
        made = self.run(lambda: socket.socket(socket.AF_INET, kind, protocol))
        with self._lock:
            self._sockets.add(made)
            if not self._closed:
                return made
        made.close()
        raise NetworkError(f"namespace {self.name}: its VM failed or was removed, so no socket can be created in it")

    def connect(self, address: str, port: int, timeout_s: float) -> socket.socket:
        """A TCP connection from inside the namespace. Raises OSError, like socket.connect."""
        connection = self.make_socket()
        try:
            connection.settimeout(timeout_s)
            connection.connect((address, port))
        except BaseException:
            connection.close()
            raise
        return connection

    def close_sockets(self) -> None:
        """Shut down every socket of the namespace, so that waits on them end. No further socket can be created."""
        with self._lock:
            self._closed = True
            for each in self._sockets:
                try:
                    each.shutdown(socket.SHUT_RDWR)
                except OSError:
                    continue  # already closed, or a datagram socket: its user must check whether the VM is alive

    def remove(self) -> None:
        """Remove the namespace with its content. Waits for connections in it end."""
        self.close_sockets()
        self.host.remove_many([self])


class HostNet:
    """The network that plays the host: a private namespace (tests), or the machine's own.

    A context manager: on exit it removes every namespace that it created, and the host's part with the last one.
    Without `with`, everything stays: call start(), then create_many().
    """

    def __init__(self, network: Network, *, prefix: str, namespace: str | None, uplinks: Sequence[str]) -> None:
        self.network = network
        self.plan = AddressPlan(network)
        self.prefix = prefix
        self.namespace = namespace
        # The interfaces through which VMs leave.
        self.uplinks = tuple(uplinks)
        self._vms: dict[int, VMNamespace] = {}
        self._taken: list[Taken] = []
        self._hold: int | None = None
        # Its VMs outlive the `with` block; release() ends that.
        self._kept: set[int] = set()

    @classmethod
    def private(cls, network: Network, prefix: str) -> HostNet:
        """A host in its own namespace, called `<prefix>host`: the machine's network is not touched.

        VMs leave it through an interface called network.uplink_name, if somebody adds one.
        """
        return cls(network, prefix=prefix, namespace=f"{prefix}host", uplinks=[network.uplink_name])

    @classmethod
    def machine(cls, network: Network) -> HostNet:
        """The machine's own network, with the guide's names. VMs leave where the kernel routes their packets."""
        return cls(network, prefix="", namespace=None, uplinks=find_uplinks(network))

    def __enter__(self) -> HostNet:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    def start(self) -> None:
        """Set up the host, or add missing parts: its namespace if it is private, forwarding, rules."""
        netns.prepare()
        if self.namespace and not netns.exists(self.namespace):
            netns.create(self.namespace, self._begin)
        elif self.namespace and not self.is_ours():
            raise NetworkError(
                f"namespace {self.namespace}: already exists and does not belong to the suite",
                "choose another prefix: --private PREFIX",
            )
        self.run(self._hold_host)
        self.run(self._start)

    def renew_uplinks(self) -> None:
        """Ask the kernel again where VMs leave, now that there is one whose packets it can be asked about."""
        if self.namespace is None and (found := find_uplinks(self.network)) != self.uplinks:
            self.uplinks = found
            nft.load_rules(nft.host_rules(self.network, self.uplinks), replace=True)

    def close(self) -> None:
        """Remove everything that this object created, except what keep() was told to leave."""
        self.remove_many([vm for vm in self._vms.values() if vm.vm_id not in self._kept])
        if not self._kept:
            self.remove_host_side()

    def keep(self, vm: VMNamespace) -> None:
        """Let close() leave this namespace and the host's side, until release()."""
        self._kept.add(vm.vm_id)

    def release(self, vm: VMNamespace) -> None:
        """Remove a namespace that was kept, and the host's side with the last one."""
        vm.close_sockets()
        self.remove_many([vm])
        self._kept.discard(vm.vm_id)
        if not self._vms:
            self.remove_host_side()

    def remove_host_side(self) -> None:
        """Remove the private host, or the machine's rules unless a VM of any process still needs them."""
        if self.namespace:
            if netns.exists(self.namespace) and self.is_ours():
                netns.remove(self.namespace)
        else:
            self._remove_rules()
        if self._hold is not None:
            os.close(self._hold)
            self._hold = None

    def run(self, inside: Callable[[], T]) -> T:
        """Run a function in the host's network."""
        return netns.enter(self.namespace, inside)

    def create(self, vm_id: int) -> VMNamespace:
        """Create the namespace of VM `vm_id` with the guide's topology.

        Raises NetworkError and then leaves nothing behind.
        """
        return self.create_many([vm_id])[0]

    def create_many(self, vm_ids: Iterable[int]) -> list[VMNamespace]:
        """Create the namespaces of many VMs, all or none.

        Raises NetworkError naming the VM at which it failed. Namespaces that it created before are removed, also if the
        caller is interrupted.
        """
        vms = [self.vm(vm_id) for vm_id in vm_ids]
        for vm in vms:
            for problem in overlaps(vm.plan, self._taken):
                raise NetworkError(f"VM {vm.vm_id}: {problem}", hint(self._taken))
        made: list[VMNamespace] = []

        def make() -> None:
            with self._builder() as builder:
                for vm in vms:
                    builder.make(vm.plan, vm.name)
                    made.append(vm)

        try:
            netns.on_thread(make)
        except BaseException as error:
            self.remove_many(made)
            if isinstance(error, NetworkError) and len(vms) > 1:
                failed, count = vms[len(made)], len(made) + 1
                what = f"VM {failed.vm_id}, number {count} of {len(vms)}: {error.message}"
                raise NetworkError(f"{what} (the {len(made)} created before it are removed)", error.hint) from error
            raise
        self._vms.update({vm.vm_id: vm for vm in made})
        return vms

    def repair(self, vm_ids: Iterable[int]) -> None:
        """Add missing parts to existing namespaces. Raises NetworkError naming the VM that cannot be repaired."""
        for vm_id in vm_ids:
            try:
                netns.on_thread(partial(self._repair, self.vm(vm_id)))
            except NetworkError as error:
                raise NetworkError(
                    f"VM {vm_id} cannot be repaired: {error.message}", "remove it, then create it again"
                ) from error

    def vm(self, vm_id: int) -> VMNamespace:
        """The planned namespace of a VM, whether or not it exists. Raises NetworkError for a wrong id."""
        plan = self.plan.for_vm(vm_id)
        return VMNamespace(plan, f"{self.prefix}{plan.namespace}", self)

    def remove_many(self, vms: Sequence[VMNamespace]) -> None:
        """Remove namespaces with their content; their names and addresses are free at once.

        The kernel releases their memory a little later.
        """
        if vms:
            # The kernel removes a namespace later, with its links. The names must be free now.
            indexes = [host_veth_index(vm.plan) for vm in vms]
            self.run(lambda: delete_links(indexes))
        for vm in vms:
            netns.remove(vm.name)
            self._vms.pop(vm.vm_id, None)

    def _builder(self) -> Builder:
        if self.namespace:
            netns.move_to(self.namespace)
        return Builder(self.network)

    def _repair(self, vm: VMNamespace) -> None:
        with self._builder() as builder:
            self._check_end(vm.plan)
            builder.repair(vm.plan, vm.name)

    def _check_end(self, plan: VMPlan) -> None:
        """Raises NetworkError if the VM's interface on the host belongs to somebody else: it must not be changed."""
        link = read_links_and_routes()[0].get(plan.host_veth)
        if link and link.group != self.network.interface_group and link.index != host_veth_index(plan):
            raise NetworkError(
                f"interface {plan.host_veth} already exists and does not belong to the suite", "rename or remove it"
            )

    def _start(self) -> None:
        set_sysctl("net/ipv4/ip_forward", "1", in_own_namespace=self.namespace is not None)
        nft.load_rules(nft.host_rules(self.network, self.uplinks), replace=True)
        self._taken = taken_networks(self.network, machine=self.namespace is None)

    def _begin(self) -> None:
        """Mark and lock the new namespace before it gets its name, so that nobody sees it unmarked."""
        mark(self.network)
        self._hold_host()

    def is_ours(self) -> bool:
        """Whether the suite created the namespace that plays the host."""
        return self.run(lambda: is_marked(self.network.interface_group))

    def _remove_rules(self) -> None:
        try:
            fcntl.flock(self._hold_host(), fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return  # another process uses them
        if not any(link.group == self.network.interface_group for link in read_links_and_routes()[0].values()):
            nft.delete_rules()

    def _hold_host(self) -> int:
        """Lock the host's network for this process until it ends; waits for a process that is removing the rules.

        The lock is on the namespace itself: it cannot be deleted, and the kernel releases it with the process.
        """
        if self._hold is None:
            self._hold = os.open(netns.OWN, os.O_RDONLY | os.O_CLOEXEC)
            fcntl.flock(self._hold, fcntl.LOCK_SH)
        return self._hold
