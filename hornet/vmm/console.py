"""The guest's serial console: always captured to a file, and waited on for lines that mark progress."""

from __future__ import annotations

import codecs
import re
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from hornet.errors import VMError
from hornet.host.emulation import patient_s
from hornet.vmm.failure import FailureSignal
from hornet.vmm.transcript import BoundedFile, Transcript, last_lines

CHUNK_BYTES = 1 << 16
PANIC = re.compile(r"Kernel panic.{0,300}")
# An incomplete line is searched once it is this long. A match in it can be at most as long as the overlap.
LINE_CHARS, OVERLAP_CHARS = 8192, 1024
CLOSE_TIMEOUT_S = 5.0


@dataclass(eq=False)
class _Wait:
    pattern: re.Pattern[str]
    found: re.Match[str] | None = None


class Console:
    """Reads one end of the serial line until the VM closes it. Keeps the head and tail, in memory and in `path`.

    The reading thread searches for every pattern that others wait for. A flood of output therefore hides no line, and
    costs linear time. Lines sent to the guest are for its restore agent (see hornet/vm/restore_agent.py); commands go
    over SSH.
    """

    def __init__(
        self,
        path: Path,
        connection: socket.socket,
        failure: FailureSignal,
        keyboard: BinaryIO | None = None,
        on_end: Callable[[Console], None] = lambda console: None,
    ) -> None:
        """keyboard: an unbuffered file for input to the guest; None: use the same connection.

        on_end: called on the reading thread when everything is read and the line is closed. It may block.
        """
        self.path = path
        self._connection = connection
        self._failure = failure
        self._keyboard = keyboard
        self._on_end = on_end
        self._file = BoundedFile(path)
        self._transcript = Transcript()
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        # The unsearched part of the last line, and the offset at which the search in it starts.
        self._line, self._line_from = "", 0
        self._panic: str | None = None
        self._waits: list[_Wait] = []
        self._changed = threading.Condition()
        self._chunks = 0
        failure.on_failure(self._notify)
        self._thread = threading.Thread(target=self._read, name=f"console-{failure.vm_name}", daemon=True)
        self._thread.start()

    @property
    def text(self) -> str:
        """The guest's output so far. A very long output is cut in the middle, with a notice."""
        with self._changed:
            return str(self._transcript)

    def tail(self) -> str:
        """The last lines, for error messages."""
        return last_lines(self.text) or "(the console printed nothing)"

    @property
    def panic(self) -> str | None:
        """The line of the kernel panic, or None. It is kept even if much was printed since."""
        return self._panic

    def send(self, text: str) -> None:
        """Send text over the serial line. Raises VMError if the VM has ended."""
        try:
            if self._keyboard:
                self._keyboard.write(text.encode())
            else:
                self._connection.sendall(text.encode())
        except OSError as error:
            self._failure.check("writing to its serial line")
            raise VMError(f"VM {self._failure.vm_name}: its serial line is closed: {error.strerror}") from error

    def wait_for(self, pattern: str, timeout_s: float) -> re.Match[str]:
        """Wait for a regular expression (multi-line mode) in any complete line, including lines printed before.

        Raises VMFailedError if the VM fails first. Raises VMError with the last lines on a timeout.
        """
        timeout_s = patient_s(timeout_s)
        wait = _Wait(re.compile(pattern, re.MULTILINE))
        with self._changed:
            wait.found = self._search_kept(wait.pattern)
            self._waits.append(wait)
            try:
                self._changed.wait_for(lambda: wait.found or self._failure.failed, timeout_s)
            finally:
                self._waits.remove(wait)
        if wait.found:
            return wait.found
        self._failure.check(f"waiting for {pattern!r} on its console")
        raise VMError(
            f"VM {self._failure.vm_name}: timed out after {timeout_s:g} s waiting for {pattern!r} on the console"
            f"{self._failure.stopped()}; last output:\n{self.tail()}",
            "read what is above these lines on the console",
            timed_out=True,
        )

    def wait_quiet(self, quiet_s: float, timeout_s: float) -> None:
        """Wait until the guest has printed nothing for a time. Raises VMError if it goes on printing; VMFailedError."""
        timeout_s = patient_s(timeout_s)
        deadline_s = time.monotonic() + timeout_s
        with self._changed:
            while time.monotonic() < deadline_s:
                before = self._chunks
                self._changed.wait(quiet_s)
                # Nothing but output and failures wakes it.
                self._failure.check("waiting for silence on its console")
                if self._chunks == before:
                    return
        raise VMError(
            f"VM {self._failure.vm_name}: printed without a pause of {quiet_s:g} s for {timeout_s:g} s; last output:\n"
            f"{self.tail()}",
            "stop what prints in the guest",
            timed_out=True,
        )

    def close(self) -> None:
        """Stop reading. Everything that has arrived is in the file."""
        try:
            self._connection.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self._thread.join(CLOSE_TIMEOUT_S)
        self._connection.close()
        if self._keyboard:
            self._keyboard.close()

    def _search_kept(self, pattern: re.Pattern[str]) -> re.Match[str] | None:
        head, tail = self._transcript.parts()
        return pattern.search(head) or pattern.search(tail)

    def _read(self) -> None:
        while chunk := self._receive():
            self._file.write(chunk)
            self._add(self._decoder.decode(chunk))
        self._add(self._decoder.decode(b"", final=True), final=True)
        self._file.close()
        self._on_end(self)

    def _receive(self) -> bytes:
        try:
            return self._connection.recv(CHUNK_BYTES)
        except OSError:
            return b""

    def _add(self, text: str, *, final: bool = False) -> None:
        text = text.replace("\r", "")
        with self._changed:
            self._transcript.add(text)
            self._chunks += 1
            lines, begin = self._complete_lines(text, final)
            for wait in self._waits:
                wait.found = wait.found or wait.pattern.search(lines, begin)
            self._changed.notify_all()
            panic = PANIC.search(lines, begin)
        if panic and not self._panic:
            self._panic = panic[0]
            self._failure.set(f"had a kernel panic: {panic[0]}", "read the lines before it on the console", self.tail())

    def _complete_lines(self, text: str, final: bool) -> tuple[str, int]:
        """The complete lines that can be searched after `text` has arrived, and the offset at which to start.

        An incomplete line is searched only when it is too long to wait for its end.
        """
        block, begin = self._line + text, self._line_from
        complete = len(block) if final else block.rfind("\n") + 1
        if complete:
            self._line, self._line_from = block[complete:], 0
            return block[:complete], begin
        if len(block) > LINE_CHARS:
            self._line, self._line_from = block[-OVERLAP_CHARS:], 1
            return block, begin
        self._line = block
        return "", 0

    def _notify(self) -> None:
        with self._changed:
            self._changed.notify_all()
