"""Many changes of links, addresses and routes in one netlink round trip, in the calling thread's namespace."""

from __future__ import annotations

import errno
import os
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from pyroute2 import IPBatch

from hornet.errors import NetworkError

NLMSG_ERROR = 2
HEADER = struct.Struct("=IHHII")
RECEIVE_BYTES = 1 << 18
TIMEOUT_S = 20.0
HINTS = {
    errno.EPERM: "run as root, with CAP_NET_ADMIN",
    errno.EEXIST: "it exists already: remove it first, or choose another VM id",
    errno.ENODEV: "the interface is gone: the namespace may have been removed meanwhile",
}


class Batch:
    """Collects changes, in the order in which the kernel is to make them.

    `add` takes what pyroute2's IPBatch takes; `name` says in an error what it was about.
    """

    def __init__(self) -> None:
        self._builder: Any = IPBatch()
        self._names: list[str] = []
        self._messages: list[bytes] = []

    def link(self, name: str, command: str, **values: Any) -> None:
        self._add(f"link {name}", self._builder.link, command, values)

    def address(self, name: str, command: str, **values: Any) -> None:
        self._add(f"address of {name}", self._builder.addr, command, values)

    def route(self, name: str, command: str, **values: Any) -> None:
        self._add(f"route {name}", self._builder.route, command, values)

    def _add(self, name: str, build: Any, command: str, values: dict[str, Any]) -> None:
        build(command, **values)
        self._names.append(f"{command} {name}")
        self._messages.append(bytes(self._builder.batch))
        self._builder.reset()

    def send(self) -> None:
        """Make the changes. Raises NetworkError naming the first one that the kernel refused, and why."""
        numbered = b"".join(_with_sequence(message, i) for i, message in enumerate(self._messages))
        with _rtnl_socket() as rtnl:
            rtnl.send(numbered)
            answers = _acknowledgements(rtnl, len(self._messages))
        for sequence, code in sorted(answers):
            if code:
                raise NetworkError(f"{self._names[sequence]}: {os.strerror(code)}", HINTS.get(code, ""))


@contextmanager
def _rtnl_socket() -> Iterator[socket.socket]:
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as rtnl:
        rtnl.settimeout(TIMEOUT_S)
        rtnl.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, RECEIVE_BYTES)
        rtnl.bind((0, 0))
        yield rtnl


def _with_sequence(message: bytes, sequence: int) -> bytes:
    length, kind, flags, _, _ = HEADER.unpack_from(message)
    return HEADER.pack(length, kind, flags, sequence, 0) + message[HEADER.size :]


def _acknowledgements(rtnl: socket.socket, count: int) -> list[tuple[int, int]]:
    """(sequence, errno) of every message; errno 0 is success."""
    found: list[tuple[int, int]] = []
    while len(found) < count:
        data, offset = rtnl.recv(RECEIVE_BYTES), 0
        while offset < len(data):
            length, kind, _, sequence, _ = HEADER.unpack_from(data, offset)
            if kind == NLMSG_ERROR:
                (code,) = struct.unpack_from("=i", data, offset + HEADER.size)
                found.append((sequence, -code))
            offset += (length + 3) & ~3
    return found
