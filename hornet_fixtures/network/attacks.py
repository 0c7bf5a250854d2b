"""Ways in which a VM could try to reach what it must not. Each is really tried, and says in words what it got through.

Every function proves first that its target answers one who may ask, so that silence means isolation and not a target
that was never there.
"""

from __future__ import annotations

import fcntl
import socket
import struct
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from ipaddress import IPv4Address, IPv6Address
from itertools import product

from hornet.network import VMNamespace
from hornet.vm.guest import ECHO_REQUEST
from hornet_fixtures.network.lab import FakeGuest

# Runs a function where an attacker is.
Attacker = Callable[[Callable[[], str | None]], str | None]

# What is not dropped arrives within a millisecond here; a loaded machine gets this long.
NEGATIVE_TIMEOUT_S = 0.4
CONTROL_S = 10.0
ETH_P_ALL = 0x0003
ETH_IPV4, ETH_ARP, ETH_IPV6 = b"\x08\x00", b"\x08\x06", b"\x86\xdd"
FIN, SYN, RST, ACK = 0x01, 0x02, 0x04, 0x10
BROADCAST = b"\xff" * 6
ATTACK = b"hornetos attack"
SENTINEL = b"hornetos sentinel"


@contextmanager
def tcp_server(
    run: Callable[[Callable[[], socket.socket]], socket.socket], address: str, word: str, port: int = 0
) -> Iterator[int]:
    """Answer every connection with `word`, where `run` runs things; yields the port (0: a free one)."""
    listener = run(lambda: socket.create_server((address, port), backlog=128))

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                connection.sendall(word.encode())

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()


def read_banner(address: str, port: int, timeout_s: float) -> str | None:
    """What a TCP server says, asked from the calling thread's namespace; None if it can't be reached in time."""
    try:
        with socket.create_connection((address, port), timeout_s) as connection:
            return connection.recv(100).decode()
    except OSError:
        return None


def ping_all(addresses: Iterable[str]) -> set[str]:
    """Who of them answers one ping each, sent at once from the calling thread's namespace."""
    wanted = set(addresses)
    answered: set[str] = set()
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP) as raw:
        raw.settimeout(NEGATIVE_TIMEOUT_S)
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
        for address in wanted:
            raw.sendto(ECHO_REQUEST, (address, 0))
        try:
            while answered < wanted:
                answered.add(raw.recvfrom(1 << 16)[1][0])
        except TimeoutError:
            pass  # the rest is silent
    return answered


def connect_to(attackers: dict[str, Attacker], targets: dict[str, str], port: int) -> list[str]:
    """Try a TCP port of every target from every attacker, all at once; whoever is heard is a problem."""

    def attempt(who: str, what: str) -> str | None:
        heard = attackers[who](lambda: read_banner(targets[what], port, NEGATIVE_TIMEOUT_S))
        return f"{who} reached {what} at {targets[what]}:{port} and heard {heard!r}" if heard is not None else None

    with ThreadPoolExecutor(len(attackers) * len(targets)) as pool:
        found = pool.map(attempt, *zip(*product(attackers, targets), strict=True))
        return [problem for problem in found if problem]


# --- Frames and packets made by hand ----------------------------------------------------------------------------------


def checksum(data: bytes) -> int:
    """The Internet checksum (RFC 1071)."""
    padded = data + bytes(len(data) % 2)
    total: int = sum(struct.unpack(f"!{len(padded) // 2}H", padded))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def ipv4(source: str, destination: str, protocol: int, payload: bytes) -> bytes:
    """An IPv4 packet with any source."""
    addresses = IPv4Address(source).packed + IPv4Address(destination).packed
    header = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(payload), 1, 0, 64, protocol, 0) + addresses
    return header[:10] + struct.pack("!H", checksum(header)) + header[12:] + payload


def ipv6(source: IPv6Address, destination: IPv6Address, payload: bytes) -> bytes:
    """An IPv6 packet without a next header."""
    return struct.pack("!IHBB", 6 << 28, len(payload), 59, 64) + source.packed + destination.packed + payload


def udp(source_port: int, port: int, data: bytes) -> bytes:
    """A UDP datagram without checksum, as IPv4 allows."""
    return struct.pack("!4H", source_port, port, 8 + len(data), 0) + data


def echo_request(data: bytes) -> bytes:
    """An ICMP echo request."""
    packet = struct.pack("!BBHHH", 8, 0, 0, 0x4842, 1) + data
    return packet[:2] + struct.pack("!H", checksum(packet)) + packet[4:]


def stray_segment(source: str, destination: str, port: int, flags: int, data: bytes) -> bytes:
    """A TCP segment of a connection that never was."""
    header = struct.pack("!HHIIBBHHH", 4242, port, 7, 7, 0x50, flags, 1024, 0, 0)
    pseudo = IPv4Address(source).packed + IPv4Address(destination).packed + struct.pack("!HH", 6, len(header + data))
    return header[:16] + struct.pack("!H", checksum(pseudo + header + data)) + header[18:] + data


def arp_request(mac: bytes, sender: str, target: str) -> bytes:
    """A broadcast that asks who has `target`, and says that `sender` is at `mac`."""
    body = mac + IPv4Address(sender).packed + bytes(6) + IPv4Address(target).packed
    return BROADCAST + mac + ETH_ARP + struct.pack("!HHBBH", 1, 0x0800, 6, 4, 1) + body + ATTACK


class PacketSocket:
    """Everything that passes an interface of the calling thread's namespace, and a way to send frames into it."""

    def __init__(self, interface: str) -> None:
        self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
        self._socket.bind((interface, ETH_P_ALL))
        self.mac: bytes = self._socket.getsockname()[4]
        # SIOCGIFMTU (netdevice(7))
        self.mtu: int = struct.unpack_from(
            "i", fcntl.ioctl(self._socket, 0x8921, struct.pack("16s16x", interface.encode())), 16
        )[0]

    def __enter__(self) -> PacketSocket:
        return self

    def __exit__(self, *reason: object) -> None:
        self._socket.close()

    def send(self, frame: bytes) -> None:
        self._socket.send(frame)

    def until(self, last: bytes) -> list[bytes]:
        """All frames up to the first that holds `last`. Raises TimeoutError if that never comes: the control failed."""
        seen: list[bytes] = []
        self._socket.settimeout(CONTROL_S)
        while not seen or last not in seen[-1]:
            seen.append(self._socket.recv(1 << 16))
        return seen


def leaving(guest: FakeGuest, frames: list[bytes]) -> list[bytes]:
    """Frames of an attack that a guest sends and that leave its namespace, seen at the host's end of the veth.

    An allowed ping follows them on the same path: when that is seen, all that came before it has been seen too.
    """
    vm = guest.vm
    network = vm.host.network
    source, host = str(network.guest_address.ip), str(vm.plan.host_address.ip)
    ping = to_gateway(vm, ipv4(source, host, socket.IPPROTO_ICMP, echo_request(SENTINEL)))
    card = network.guest_interface
    with (
        vm.host.run(lambda: PacketSocket(vm.plan.host_veth)) as outside,
        guest.run(lambda: PacketSocket(card)) as inside,
    ):
        for frame in [*frames, ping]:
            inside.send(frame)
        return [frame for frame in outside.until(SENTINEL) if ATTACK in frame]


def to_gateway(vm: VMNamespace, packet: bytes) -> bytes:
    """An IPv4 packet in a frame from the guest to its gateway."""
    network = vm.host.network
    return bytes.fromhex((network.gateway_mac + network.guest_mac).replace(":", "")) + ETH_IPV4 + packet
