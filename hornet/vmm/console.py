"""The guest's serial console: always captured to a file, and waited on for lines that mark progress."""

from __future__ import annotations

import re
import socket
import threading
import time
from pathlib import Path
from typing import BinaryIO

from hornet.errors import VMError
from hornet.files import open_private

TAIL_LINES = 25
# Nothing that is waited for comes after this line.
PANIC = re.compile(r"Kernel panic.*\n")


class Console:
    """Reads one end of the serial line until the VM closes it; keeps all text, in memory and in `path`.

    Lines sent to the guest are for its own watch (see hornet/refresh.py); commands go by SSH.
    """

    def __init__(self, path: Path, connection: socket.socket, vm_name: str, keyboard: BinaryIO | None = None) -> None:
        """keyboard: where what is typed goes, unbuffered, if not to the same connection."""
        self.path = path
        self._connection = connection
        self._keyboard = keyboard
        self._vm_name = vm_name
        self._text = ""
        self._closed = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._read, name=f"console-{vm_name}", daemon=True)
        self._thread.start()

    @property
    def text(self) -> str:
        """All that the guest has printed so far."""
        return self._text

    def tail(self, lines: int = TAIL_LINES) -> str:
        """The last lines, for error messages."""
        return "\n".join(self._text.splitlines()[-lines:]) or "(the console printed nothing)"

    @property
    def panic(self) -> str | None:
        """The line with which the kernel gave up, if it did."""
        found = PANIC.search(self._text)
        return found[0].strip() if found else None

    def send(self, text: str) -> None:
        """Type something on the serial line. Raises VMError if the VM has ended."""
        try:
            if self._keyboard:
                self._keyboard.write(text.encode())
            else:
                self._connection.sendall(text.encode())
        except OSError as error:
            raise VMError(f"VM {self._vm_name}: its serial line is closed: {error.strerror}") from error

    def wait_for(self, pattern: str, timeout_s: float) -> re.Match[str]:
        """Wait for a regular expression (multi-line mode) anywhere in the text.

        Raises VMError with the last lines seen when the time is over, the VM ended or its kernel gave up first.
        """
        compiled = re.compile(pattern, re.MULTILINE)
        deadline_s = time.monotonic() + timeout_s
        with self._changed:
            while True:
                found = compiled.search(self._text)
                if found:
                    return found
                left_s = deadline_s - time.monotonic()
                if why := self._why_not(left_s, f"{timeout_s:g} s went by"):
                    raise VMError(
                        f"VM {self._vm_name}: {why} before {pattern!r} was on the console; last seen:\n{self.tail()}",
                        f"read {self.path}",
                    )
                self._changed.wait(left_s)

    def _why_not(self, left_s: float, time_is_over: str) -> str | None:
        """Why nothing will come any more, or None if it still may."""
        if self.panic:
            return "the kernel gave up"
        if self._closed:
            return "the VM ended"
        return time_is_over if left_s <= 0 else None

    def close(self) -> None:
        """Stop reading; what has arrived is in the file."""
        try:
            self._connection.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self._thread.join(5.0)
        self._connection.close()
        if self._keyboard:
            self._keyboard.close()

    def _read(self) -> None:
        with open_private(self.path, "ab") as sink:
            while chunk := self._receive():
                sink.write(chunk)
                sink.flush()
                with self._changed:
                    self._text += chunk.decode("utf-8", "replace").replace("\r", "")
                    self._changed.notify_all()
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _receive(self) -> bytes:
        try:
            return self._connection.recv(65536)
        except OSError:
            return b""
