"""Orders to a guest's agent over vsock, with a server in place of Firecracker and the guest: no host has both ends."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hornet.errors import VMError
from hornet.vm.restore_agent import refresh
from hornet.vmm.failure import FailureSignal, VMFailedError
from hornet.vmm.firecracker import orders
from hornet.vmm.firecracker.orders import VsockLine

PORT = 1024
TIMEOUT_S = 10
NAME = "vsock.sock"
Guest = Callable[[socket.socket], None]
Serve = Callable[..., VsockLine]


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    """A line to a server. Each connection is handled by the next of the functions, then closed."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(tmp_path / NAME))
    listener.listen()
    threads = []

    def make(*guests: Guest) -> VsockLine:
        def run() -> None:
            for guest in guests:
                connection = listener.accept()[0]
                connection.settimeout(TIMEOUT_S)
                with connection:
                    guest(connection)

        threads.append(threading.Thread(target=run))
        threads[0].start()
        return VsockLine(tmp_path, NAME, PORT, FailureSignal("vm1"))

    yield make
    threads[0].join(TIMEOUT_S)
    listener.close()


def accept(connection: socket.socket) -> None:
    assert read_line(connection) == f"CONNECT {PORT}"
    connection.sendall(b"OK 1073741824\n")


def read_line(connection: socket.socket) -> str:
    line = b""
    while not line.endswith(b"\n") and (byte := connection.recv(1)):
        line += byte
    return line.decode().strip()


def obey(connection: socket.socket) -> None:
    accept(connection)
    token = read_line(connection).split()[2]
    connection.sendall(b"hornetos: refr")
    connection.sendall(f"eshed {token}\r\n".encode())


def refuse(connection: socket.socket) -> None:
    """Firecracker closes the connection if nothing listens in the guest."""
    read_line(connection)


def reset(connection: socket.socket) -> None:
    """A restored guest ends the connections that it had, and one that was made too early."""
    accept(connection)
    read_line(connection)


def test_guest_is_refreshed(serve: Serve) -> None:
    refresh(serve(obey)).wait(TIMEOUT_S)


def test_order_waits_until_the_guest_listens(serve: Serve) -> None:
    refresh(serve(refuse, refuse, obey)).wait(TIMEOUT_S)


def test_order_is_sent_again_after_a_reset(serve: Serve) -> None:
    seen: list[str] = []

    def remember(connection: socket.socket) -> None:
        accept(connection)
        seen.append(read_line(connection))

    def remember_and_answer(connection: socket.socket) -> None:
        remember(connection)
        connection.sendall(f"hornetos: refreshed {seen[-1].split()[2]}\n".encode())

    refresh(serve(remember, remember_and_answer)).wait(TIMEOUT_S)
    assert seen[0] == seen[1]


def test_silent_guest_is_an_error(serve: Serve) -> None:
    done = threading.Event()

    def silent(connection: socket.socket) -> None:
        accept(connection)
        done.wait(TIMEOUT_S)

    order = refresh(serve(silent))
    with pytest.raises(VMError, match=r"'refresh'.*vsock port 1024"):
        order.wait(0.2)
    done.set()


def test_guest_that_never_listens_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(orders, "CONNECT_TIMEOUT_S", 0.1)
    with pytest.raises(VMError, match="no connection to its vsock port 1024"):
        refresh(VsockLine(tmp_path, NAME, PORT, FailureSignal("vm1")))


def test_failed_vm_ends_the_wait(tmp_path: Path) -> None:
    failure = FailureSignal("vm1")
    failure.set("was removed")
    with pytest.raises(VMFailedError, match="was removed"):
        refresh(VsockLine(tmp_path / "gone", NAME, PORT, failure))
