"""What network tests stand on: stand-in guests, and a test Internet behind a private host's uplink."""

from __future__ import annotations

import hashlib
import http.client
import http.server
import os
import socket
import socketserver
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from typing import Any, TypeVar

from hornet.network import HostNet, VMNamespace, netns, rtnl
from hornet.network.assemble import ANYWHERE, BRIDGE_INDEX, mark
from hornet.network.rtnl import Rtnl
from hornet.spec.network import Network
from hornet.vm.guest import ECHO_REQUEST, PING_INTERVAL_S

T = TypeVar("T")

# Addresses for documentation (RFC 5737): the tests' own, on no real network.
UPLINK = IPv4Interface("192.0.2.2/24")
UPSTREAM = IPv4Interface("192.0.2.1/24")
SITE = IPv4Address("203.0.113.80")
SITE_NAME = "site.example"
HTTP_PORT, DNS_PORT = 80, 53
TIMEOUT_S = 20.0
# Where a stand-in's cable ends on the bridge, beside the tap.
PORT_NAME = "guest0"
CARD_INDEX = 2
CHUNK_BYTES = 1 << 16


@dataclass(frozen=True)
class FakeGuest:
    """A namespace with a guest's card, address and routes, joined to a VM's bridge: a guest without a VMM."""

    vm: VMNamespace
    name: str

    def run(self, inside: Callable[[], T]) -> T:
        """Run a function where the guest is."""
        return netns.enter(self.name, inside)

    def remove(self) -> None:
        """Remove it; the VM's namespace stays."""
        netns.remove(self.name)


def attach(vm: VMNamespace) -> FakeGuest:
    """Join a stand-in guest to a VM's bridge."""
    network = vm.host.network
    name = f"{vm.name}-guest"
    vm_fd = os.open(netns.RUN_NETNS / vm.name, os.O_RDONLY | os.O_CLOEXEC)

    def inside_guest() -> None:
        mark(network)
        mac = rtnl.mac_bytes(network.guest_mac)
        card = rtnl.link(network.guest_interface, index=CARD_INDEX, up=True, address=mac)
        with Rtnl() as kernel:
            kernel.send([
                rtnl.add_veth(name, card, rtnl.link(PORT_NAME, net_ns_fd=vm_fd)),
                rtnl.add_address(network.guest_interface, CARD_INDEX, network.guest_address),
                rtnl.set_route(ANYWHERE, network.gateway_address.ip, CARD_INDEX),
            ])  # fmt: skip

    def inside_vm() -> None:
        with Rtnl() as kernel:
            kernel.send([rtnl.no_ipv6_address(PORT_NAME), rtnl.set_link(PORT_NAME, up=True, master=BRIDGE_INDEX)])

    try:
        netns.create(name, inside_guest)
    finally:
        os.close(vm_fd)
    vm.run(inside_vm)
    netns.enter(name, lambda: _await_reply(str(network.gateway_address.ip)))
    return FakeGuest(vm, name)


def _await_reply(address: str) -> None:
    """Ping until the bridge forwards: it learns of a new cable a moment later. Raises TimeoutError."""
    deadline_s = time.monotonic() + TIMEOUT_S
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP) as ping:
        ping.settimeout(PING_INTERVAL_S)
        while time.monotonic() < deadline_s:
            try:
                ping.sendto(ECHO_REQUEST, (address, 0))
                ping.recv(CHUNK_BYTES)
                return
            except OSError:
                continue
    raise TimeoutError(f"{address} does not answer")


class Internet:
    """A namespace behind the uplink of a private host: the spec's name servers and a web site. A context manager.

    It has no route to the VMs' networks, so an answer arrives only where the host translated the address. The site
    answers GET with the address that it sees as the client's, POST with the SHA-256 of what it got.
    """

    def __init__(self, host: HostNet) -> None:
        self.name = f"{host.prefix}internet"
        self._host = host
        self._servers: list[socketserver.BaseServer] = []

    def __enter__(self) -> Internet:
        network = self._host.network
        host_fd = os.open(netns.RUN_NETNS / str(self._host.namespace), os.O_RDONLY | os.O_CLOEXEC)

        def inside() -> None:
            mark(network)
            near = rtnl.link("upstream", index=CARD_INDEX, up=True)
            names = [IPv4Interface(address) for address in (SITE, *network.dns)]
            with Rtnl() as kernel:
                far = rtnl.link(network.uplink_name, net_ns_fd=host_fd)
                kernel.send([rtnl.add_veth("the uplink", near, far)])
                kernel.send([rtnl.add_address("lo", 1, address) for address in names])
                kernel.send([rtnl.add_address("upstream", CARD_INDEX, UPSTREAM)])
            for address in network.dns:
                self._serve(_NameServer((str(address), DNS_PORT), _Answer))
            self._serve(http.server.ThreadingHTTPServer((str(SITE), HTTP_PORT), _Site))

        try:
            netns.create(self.name, inside)
        finally:
            os.close(host_fd)
        self._host.run(self._connect_host)
        return self

    def __exit__(self, *reason: object) -> None:
        for server in self._servers:
            server.shutdown()
            server.server_close()
        netns.remove(self.name)

    def run(self, inside: Callable[[], T]) -> T:
        """Run a function on the Internet."""
        return netns.enter(self.name, inside)

    def _serve(self, server: socketserver.BaseServer) -> None:
        self._servers.append(server)
        threading.Thread(target=server.serve_forever, daemon=True).start()

    def _connect_host(self) -> None:
        uplink = self._host.network.uplink_name
        index = socket.if_nametoindex(uplink)
        with Rtnl() as kernel:
            kernel.send([
                rtnl.add_address(uplink, index, UPLINK),
                rtnl.set_link(uplink, up=True),
                rtnl.set_route(ANYWHERE, UPSTREAM.ip, index),
            ])  # fmt: skip


@dataclass(frozen=True)
class Lab:
    """Two VMs with stand-in guests on one host, with the test Internet behind it."""

    host: HostNet
    internet: Internet
    a: FakeGuest
    b: FakeGuest


@contextmanager
def private_lab(network: Network, prefix: str) -> Iterator[Lab]:
    """A laboratory of its own, for tests that break something in it."""
    with HostNet.private(network, prefix) as host, Internet(host) as internet, ExitStack() as stack:
        guests = [attach(vm) for vm in host.create_many([1, 2])]
        for guest in guests:
            stack.callback(guest.remove)
        yield Lab(host, internet, *guests)


def route(destination: IPv4Network, gateway: IPv4Address, interface: str) -> None:
    """Add a route in the calling thread's namespace."""
    with Rtnl() as kernel:
        kernel.send([rtnl.set_route(destination, gateway, socket.if_nametoindex(interface))])


def ask_site(
    method: str = "GET", body: bytes | None = None, address: str = str(SITE), timeout_s: float = TIMEOUT_S
) -> str:
    """The site's answer, asked from the calling thread's namespace. Raises OSError if it can't be reached."""
    connection = http.client.HTTPConnection(address, HTTP_PORT, timeout=timeout_s)
    try:
        connection.request(method, "/", body)
        return connection.getresponse().read().decode()
    finally:
        connection.close()


def look_up(name: str, server: str, timeout_s: float = TIMEOUT_S) -> str:
    """Ask a name server for a name's IPv4 address, from the calling thread's namespace. Raises OSError."""
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split("."))
    query = struct.pack("!6H", 0x4842, 0x0100, 1, 0, 0, 0) + labels + struct.pack("!BHH", 0, 1, 1)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(timeout_s)
        client.sendto(query, (server, DNS_PORT))
        answer = client.recv(CHUNK_BYTES)
    return socket.inet_ntoa(answer[-4:])


class _Site(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self._reply(self.client_address[0])

    def do_POST(self) -> None:
        digest, left = hashlib.sha256(), int(self.headers["Content-Length"])
        while left:
            chunk = self.rfile.read(min(left, CHUNK_BYTES))
            digest.update(chunk)
            left -= len(chunk)
        self._reply(digest.hexdigest())

    def _reply(self, text: str) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, format: str, *arguments: Any) -> None:
        """Quiet: the answers are what is judged."""


class _NameServer(socketserver.ThreadingUDPServer):
    daemon_threads = True


class _Answer(socketserver.BaseRequestHandler):
    """Every name has the site's IPv4 address, and no other record (RFC 1035)."""

    def handle(self) -> None:
        query, server = self.request
        if b"\0" not in query[12:]:
            return  # no question: a packet that only tries the way
        end = query.index(b"\0", 12) + 5
        wants_address = query[end - 4 : end - 2] == b"\0\1"
        header = query[:2] + struct.pack("!5H", 0x8180, 1, int(wants_address), 0, 0)
        record = b"\xc0\x0c" + struct.pack("!HHIH", 1, 1, 60, 4) + SITE.packed
        server.sendto(header + query[12:end] + (record if wants_address else b""), self.client_address)
