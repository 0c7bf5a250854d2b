"""Changes of links, addresses and routes by rtnetlink, many in one round trip (rtnetlink(7)).

The few messages that the topology takes are encoded here: pyroute2 spends 0.6 ms on each, as long as the kernel needs
for a whole namespace. pyroute2 reads the result back (state.py), so two implementations must agree.
"""

from __future__ import annotations

import errno
import os
import secrets
import socket
import struct
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from types import TracebackType
from typing import NamedTuple

from hornet.errors import NetworkError

# linux/netlink.h, linux/rtnetlink.h
NLMSG_ERROR = 2
NLM_F_REQUEST, NLM_F_ACK, NLM_F_REPLACE, NLM_F_EXCL, NLM_F_CREATE = 0x001, 0x004, 0x100, 0x200, 0x400
RTM_NEWLINK, RTM_DELLINK, RTM_SETLINK, RTM_NEWADDR, RTM_NEWROUTE, RTM_NEWNEIGH = 16, 17, 19, 20, 24, 28
RT_TABLE_MAIN, RTPROT_STATIC, RT_SCOPE_UNIVERSE, RTN_UNICAST, RTNH_F_ONLINK = 254, 4, 0, 1, 4
RTA_DST, RTA_OIF, RTA_GATEWAY = 1, 4, 5
# linux/if_link.h, linux/if_addr.h, linux/veth.h, linux/neighbour.h, linux/if.h
IFLA_ADDRESS, IFLA_IFNAME, IFLA_MASTER, IFLA_LINKINFO, IFLA_GROUP, IFLA_NET_NS_FD = 1, 3, 10, 18, 27, 28
IFLA_AF_SPEC, IFLA_INET6_ADDR_GEN_MODE, IN6_ADDR_GEN_MODE_NONE = 26, 8, 1
IFLA_INFO_KIND, IFLA_INFO_DATA, VETH_INFO_PEER = 1, 2, 1
IFA_ADDRESS, IFA_LOCAL, IFA_FLAGS, IFA_F_NOPREFIXROUTE = 1, 2, 8, 0x200
NDA_DST, NDA_LLADDR, NUD_PERMANENT = 1, 2, 0x80
IFF_UP = 1

HEADER = struct.Struct("=IHHII")
LINK_HEADER = struct.Struct("=BxHiII")
# Answers stay in the socket's buffer until all have arrived. More messages at a time would overflow it.
CHUNK = 100
RECEIVE_BYTES = 1 << 18
TIMEOUT_S = 60.0
HINTS = {
    errno.EPERM: "run as root, with CAP_NET_ADMIN",
    errno.EEXIST: "it already exists: remove it first, or choose another VM id",
    errno.EBUSY: "it already exists: remove it first, or choose another VM id",
    errno.ENODEV: "the interface does not exist any more: its namespace may have been removed meanwhile",
}


class Message(NamedTuple):
    """One change. what: for an error message. flags: in addition to request and acknowledgement."""

    what: str
    kind: int
    flags: int
    body: bytes


def link(name: str, *, index: int = 0, up: bool = False, **attributes: bytes | int) -> bytes:
    """An interface, encoded for a message; keywords: address, master, group, net_ns_fd."""
    flags = IFF_UP if up else 0
    return LINK_HEADER.pack(0, 0, index, flags, flags) + _text(IFLA_IFNAME, name) + _link_attributes(attributes)


def mac_bytes(mac: str) -> bytes:
    """A MAC address, encoded for a message."""
    return bytes.fromhex(mac.replace(":", ""))


def add_bridge(name: str, *, index: int, mac: str, group: int) -> Message:
    """Add a bridge, which is down at first."""
    kind = _attribute(IFLA_LINKINFO, _text(IFLA_INFO_KIND, "bridge"))
    body = link(name, index=index, address=mac_bytes(mac), group=group) + kind
    return Message(f"add bridge {name}", RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, body)


def add_veth(name: str, near: bytes, peer: bytes) -> Message:
    """Add a veth pair; both ends come from link(), the far end with its namespace."""
    data = _attribute(IFLA_INFO_DATA, _attribute(VETH_INFO_PEER, peer))
    kind = _attribute(IFLA_LINKINFO, _text(IFLA_INFO_KIND, "veth") + data)
    return Message(f"add veth {name}", RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, near + kind)


def set_link(name: str, *, up: bool = False, **attributes: bytes | int) -> Message:
    """Change an interface, given by name; keywords as in link()."""
    return Message(f"set {name}", RTM_SETLINK, 0, link(name, index=0, up=up, **attributes))


def no_ipv6_address(name: str) -> Message:
    """Stop an interface that is down from giving itself an IPv6 address when it comes up.

    That would take longer the more interfaces there are, and would send packets.
    """
    mode = _attribute(IFLA_INET6_ADDR_GEN_MODE, bytes([IN6_ADDR_GEN_MODE_NONE]))
    body = link(name) + _attribute(IFLA_AF_SPEC, _attribute(socket.AF_INET6, mode))
    return Message(f"set {name}", RTM_SETLINK, 0, body)


def add_address(name: str, index: int, address: IPv4Interface, *, connected_route: bool = True) -> Message:
    """Add an address. connected_route: whether the kernel adds the route of its network."""
    packed = address.ip.packed
    flags = _number(IFA_FLAGS, 0 if connected_route else IFA_F_NOPREFIXROUTE)
    header = struct.pack("=BBBBI", socket.AF_INET, address.network.prefixlen, 0, RT_SCOPE_UNIVERSE, index)
    body = header + _attribute(IFA_LOCAL, packed) + _attribute(IFA_ADDRESS, packed) + flags
    return Message(f"add address {address} to {name}", RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, body)


def set_route(destination: IPv4Network, gateway: IPv4Address, index: int) -> Message:
    """Set a route via a gateway that is assumed to be on the link; replaces a route with the same destination."""
    length = destination.prefixlen
    header = struct.pack("=8BI", socket.AF_INET, length, 0, 0, RT_TABLE_MAIN, RTPROT_STATIC, RT_SCOPE_UNIVERSE,
                         RTN_UNICAST, RTNH_F_ONLINK)  # fmt: skip
    body = header + _attribute(RTA_GATEWAY, gateway.packed) + _number(RTA_OIF, index)
    if length:
        body += _attribute(RTA_DST, destination.network_address.packed)
    return Message(f"route {destination} via {gateway}", RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE, body)


def set_neighbour(address: IPv4Address, mac: str, index: int) -> Message:
    """Set a permanent neighbour: the kernel neither queries nor expires it."""
    header = struct.pack("=BxHiHBB", socket.AF_INET, 0, index, NUD_PERMANENT, 0, 0)
    body = header + _attribute(NDA_DST, address.packed) + _attribute(NDA_LLADDR, mac_bytes(mac))
    return Message(f"neighbour {address}", RTM_NEWNEIGH, NLM_F_CREATE | NLM_F_REPLACE, body)


class Rtnl:
    """A netlink socket in the namespace of the thread that created it; a context manager."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)
        self._socket.settimeout(TIMEOUT_S)
        self._socket.bind((0, 0))

    def __enter__(self) -> Rtnl:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._socket.close()

    def send(self, messages: Sequence[Message], *, ignore: Sequence[int] = ()) -> None:
        """Apply changes in order. Raises NetworkError naming the first that failed with an errno not in `ignore`."""
        for start in range(0, len(messages), CHUNK):
            chunk = messages[start : start + CHUNK]
            for message, code in zip(chunk, self._exchange(chunk), strict=True):
                if code and code not in ignore:
                    raise NetworkError(f"{message.what}: {os.strerror(code)}", HINTS.get(code, ""))

    def delete_links(self, indexes: Sequence[int]) -> None:
        """Delete interfaces together: the kernel waits for one RCU grace period, not for one per interface.

        They are first put into a group of their own, as a group is what the kernel can delete. One that is gone
        already is no error.
        """
        group = 1 + secrets.randbelow((1 << 31) - 1)
        into_group = _number(IFLA_GROUP, group)
        moves = [
            Message(f"set interface {index}", RTM_SETLINK, 0, LINK_HEADER.pack(0, 0, index, 0, 0) + into_group)
            for index in indexes
        ]
        self.send(moves, ignore=[errno.ENODEV])
        deletion = Message("delete interfaces", RTM_DELLINK, 0, LINK_HEADER.pack(0, 0, 0, 0, 0) + into_group)
        self.send([deletion], ignore=[errno.ENODEV])

    def _exchange(self, messages: Sequence[Message]) -> list[int]:
        """The errno of each message; 0 is success."""
        packed = [
            HEADER.pack(HEADER.size + len(body), kind, NLM_F_REQUEST | NLM_F_ACK | flags, sequence, 0) + body
            for sequence, (_, kind, flags, body) in enumerate(messages)
        ]
        self._socket.send(b"".join(packed))
        codes: dict[int, int] = {}
        while len(codes) < len(messages):
            data, offset = self._socket.recv(RECEIVE_BYTES), 0
            while offset < len(data):
                length, kind, _, sequence, _ = HEADER.unpack_from(data, offset)
                if kind == NLMSG_ERROR:
                    codes[sequence] = -struct.unpack_from("=i", data, offset + HEADER.size)[0]
                offset += (length + 3) & ~3
        return [codes[sequence] for sequence in range(len(messages))]


def delete_links(indexes: Sequence[int]) -> None:
    """Rtnl.delete_links in the calling thread's namespace."""
    with Rtnl() as kernel:
        kernel.delete_links(indexes)


_LINK_KINDS = {
    "address": IFLA_ADDRESS,
    "master": IFLA_MASTER,
    "group": IFLA_GROUP,
    "net_ns_fd": IFLA_NET_NS_FD,
}


def _link_attributes(attributes: dict[str, bytes | int]) -> bytes:
    return b"".join(
        _attribute(_LINK_KINDS[name], value if isinstance(value, bytes) else struct.pack("=I", value))
        for name, value in attributes.items()
    )


def _attribute(kind: int, data: bytes) -> bytes:
    length = 4 + len(data)
    return struct.pack("=HH", length, kind) + data + bytes(-length % 4)


def _text(kind: int, text: str) -> bytes:
    return _attribute(kind, text.encode() + b"\0")


def _number(kind: int, value: int) -> bytes:
    return _attribute(kind, struct.pack("=I", value))
