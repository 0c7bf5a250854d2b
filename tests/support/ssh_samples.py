"""A guest whose SSH server is a socket of this process, which says what a test wants."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hornet.vm.guest import Guest, SshKey


class Network:
    """A VM's namespace whose guest is a socket of this process."""

    name = "vm1"

    def __init__(self, address: tuple[str, int]) -> None:
        self._address = address

    def connect(self, _address: str, _port: int, timeout_s: float) -> socket.socket:
        return socket.create_connection(self._address, timeout_s)

    def make_socket(self, _kind: int, _protocol: int) -> socket.socket:
        """What is sent there goes nowhere."""
        unanswered = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        unanswered.bind(("127.0.0.1", 0))
        return unanswered


@contextmanager
def ssh_server(answer: bytes | None) -> Iterator[Network]:
    """Accepts connections and says this, or nothing; answer None: ends them."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        kept = []

        def serve() -> None:
            while True:
                try:
                    connection, _ = listening.accept()
                except OSError:
                    return
                if answer is None:
                    connection.close()
                    continue
                connection.sendall(answer)
                kept.append(connection)

        threading.Thread(target=serve, daemon=True).start()
        yield Network(listening.getsockname())
        listening.shutdown(socket.SHUT_RDWR)
        for connection in kept:
            connection.close()


def guest_of(network: Network) -> Guest:
    """It has no key: nothing here gets as far as a login."""
    return Guest(network, "127.0.0.1", SshKey(Path("no-key"), "A" * 60))  # type: ignore[arg-type]  # it has what a guest uses of a namespace
