"""Copies what arrives on a socket to a file, on a thread of its own, until the other side closes it."""

from __future__ import annotations

import os
import socket
import threading

CHUNK_BYTES = 1 << 16


class Pump:
    """One socket and one file. What exceeds limit_bytes, and what the file does not take, is read and dropped.

    problem: why something was dropped; "" if nothing was.
    """

    def __init__(self, source: socket.socket, sink_fd: int, *, limit_bytes: int | None = None) -> None:
        self._source = source
        self._sink_fd = sink_fd
        self._left_bytes = limit_bytes
        self.problem = ""
        self._thread = threading.Thread(target=self._copy, name="lab", daemon=True)
        self._thread.start()

    def join(self) -> None:
        """Wait until everything is copied. Call it once the other side has ended."""
        self._thread.join()

    def _copy(self) -> None:
        while chunk := self._receive():
            kept = chunk if self._left_bytes is None else chunk[: self._left_bytes]
            try:
                self._write(kept)
            except OSError as error:
                self.problem = self.problem or error.strerror or str(error)
            if len(kept) < len(chunk):
                self.problem = self.problem or "more than is kept"

    def _write(self, data: bytes) -> None:
        if self.problem:
            return
        if self._left_bytes is not None:
            self._left_bytes -= len(data)
        while data:
            data = data[os.write(self._sink_fd, data) :]

    def _receive(self) -> bytes:
        try:
            return self._source.recv(CHUNK_BYTES)
        except OSError:  # closed
            return b""
