"""Orders for the guest's restore agent over vsock, for VMs whose serial port production has turned off.

Firecracker connects a guest's port to a client that sends `CONNECT PORT` on the Unix socket of the VM's vsock
(Firecracker: docs/vsock.md). A restore ends all connections in the guest, maybe just after a new one was made. So a
connection that ends is made again, and gets the last order once more: an agent obeys each order only once.
"""

from __future__ import annotations

import os
import re
import socket
import time
from pathlib import Path

from hornet.errors import VMError
from hornet.host.emulation import patient_s
from hornet.vmm.failure import FailureSignal

CONNECT_TIMEOUT_S = 10.0
RETRY_S = 0.01
CHUNK_BYTES = 4096
# Bounded, so that a guest that floods the line cannot fill the host's memory.
MAX_CHARS = 1 << 20


class VsockLine:
    """A line to the agent; made when it is first needed, and anew after close()."""

    def __init__(self, directory: Path, name: str, port: int, failure: FailureSignal) -> None:
        """directory, name: of the Unix socket. port: where the agent listens."""
        self._directory, self._name, self._port = directory, name, port
        self._failure = failure
        self._connection: socket.socket | None = None
        self._last_order = ""
        self._text = ""

    def send(self, text: str) -> None:
        """Send text. Raises VMError if the guest does not accept the connection; VMFailedError."""
        self._last_order = text
        deadline_s = time.monotonic() + patient_s(CONNECT_TIMEOUT_S)
        while not self._sent(deadline_s):
            time.sleep(RETRY_S)

    def wait_for(self, pattern: str, timeout_s: float) -> re.Match[str]:
        """Wait for a regular expression in a complete line. Raises VMError on a timeout; VMFailedError."""
        wanted = re.compile(pattern, re.MULTILINE)
        timeout_s = patient_s(timeout_s)
        deadline_s = time.monotonic() + timeout_s
        while not (found := wanted.search(self._text[: self._text.rfind("\n") + 1])):
            if not self._received(deadline_s):
                raise VMError(
                    f"VM {self._failure.vm_name}: timed out after {timeout_s:g} s waiting for {pattern!r} on its vsock "
                    f"port {self._port}{self._failure.stopped()}; last answers:\n{self._text[-CHUNK_BYTES:]}",
                    "is the guest's program /usr/lib/hornetos/relay running?",
                    timed_out=True,
                )
        return found

    def close(self) -> None:
        """End the connection: none may be open while a snapshot is taken."""
        if self._connection:
            self._connection.close()
        self._connection, self._text = None, ""

    def _sent(self, deadline_s: float) -> bool:
        try:
            self._connection = self._connection or self._connect(deadline_s)
            self._connection.sendall(self._last_order.encode())
        except OSError as error:
            self.close()
            self._failure.check(f"connecting to its vsock port {self._port}")
            if time.monotonic() > deadline_s:
                raise VMError(
                    f"VM {self._failure.vm_name}: no connection to its vsock port {self._port}: {error}",
                    "the image's restore agent listens there; is firecracker.options.vsock true?",
                    timed_out=True,
                ) from error
            return False
        return True

    def _received(self, deadline_s: float) -> bool:
        """Wait for more text. False: there was none in time."""
        left_s = deadline_s - time.monotonic()
        if left_s <= 0:
            return False
        try:
            if not self._connection:
                raise ConnectionResetError
            self._connection.settimeout(left_s)
            chunk = self._connection.recv(CHUNK_BYTES)
            if not chunk:
                raise ConnectionResetError
        except TimeoutError:
            return False
        except OSError:
            self.close()
            self.send(self._last_order)
            return True
        self._text = (self._text + chunk.decode(errors="replace").replace("\r", ""))[-MAX_CHARS:]
        return True

    def _connect(self, deadline_s: float) -> socket.socket:
        """A connection that the guest has accepted. Raises OSError."""
        # Through a descriptor, because the path of a Unix socket may have at most 107 bytes.
        directory_fd = os.open(self._directory, os.O_PATH | os.O_DIRECTORY)
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            connection.settimeout(max(RETRY_S, deadline_s - time.monotonic()))
            connection.connect(f"/proc/self/fd/{directory_fd}/{self._name}")
            connection.sendall(f"CONNECT {self._port}\n".encode())
            if not _first_line(connection).startswith(b"OK "):
                raise ConnectionRefusedError(f"nothing listens on port {self._port} in the guest")
        except BaseException:
            connection.close()
            raise
        finally:
            os.close(directory_fd)
        return connection


def _first_line(connection: socket.socket) -> bytes:
    line = b""
    while not line.endswith(b"\n") and (byte := connection.recv(1)):
        line += byte
    return line
