"""What a command of the host reads and prints: exchanged with it in bounded time and memory, whatever it prints."""

from __future__ import annotations

import codecs
import fcntl
import io
import os
import selectors
import subprocess
import termios
import time
from array import array
from collections import deque
from collections.abc import Callable
from typing import TextIO

CHUNK_BYTES = 1 << 16
# A command that prints more is ended: half an output must not be judged.
MAX_OUTPUT_BYTES = 64 << 20
LAST_LINES, LAST_LINE_CHARS = 15, 500


class TooMuchOutputError(Exception):
    """A command printed more than MAX_OUTPUT_BYTES."""


class Output:
    """The output of one command, as text with "\\n" at each line's end: kept, logged, and passed on by lines."""

    def __init__(self, log: TextIO | None, on_line: Callable[[str], None] | None) -> None:
        self._log, self._on_line = log, on_line
        self._decoder = io.IncrementalNewlineDecoder(codecs.getincrementaldecoder("utf-8")("replace"), translate=True)
        self._pieces: list[str] = []
        self._line: list[str] = []
        self._size_bytes = 0

    @property
    def text(self) -> str:
        """All that was printed."""
        return "".join(self._pieces)

    def tail(self) -> str:
        """The last lines, for error messages, each on a line of its own behind a bar."""
        last = deque(self.text.splitlines(), LAST_LINES)
        return "".join(f"\n  | {line[-LAST_LINE_CHARS:].rstrip()}" for line in last)

    def add(self, data: bytes, *, final: bool = False) -> None:
        """Take what was printed next. Raises TooMuchOutputError, OSError if the log can't be written."""
        self._size_bytes += len(data)
        if self._size_bytes > MAX_OUTPUT_BYTES:
            raise TooMuchOutputError
        text = self._decoder.decode(data, final=final)
        self._pieces.append(text)
        if self._log:
            self._log.write(text)
            self._log.flush()
        if self._on_line:
            self._pass_on(text, final, self._on_line)

    def _pass_on(self, text: str, final: bool, on_line: Callable[[str], None]) -> None:
        *lines, rest = text.split("\n")
        for line in lines:
            on_line("".join([*self._line, line]).rstrip())
            self._line = []
        if rest:
            self._line.append(rest)
        if final and self._line:
            on_line("".join(self._line).rstrip())


def exchange(process: subprocess.Popen[bytes], given: bytes, output: Output, timeout_s: float) -> int:
    """Give a command its input and take its output until it has ended; returns its exit code.

    What a job that it leaves behind prints after its end is not read. Raises subprocess.TimeoutExpired,
    TooMuchOutputError.
    """
    deadline_s = time.monotonic() + timeout_s
    ended_fd = os.pidfd_open(process.pid)
    try:
        with selectors.DefaultSelector() as selector:
            _exchange(process, given, output, selector, ended_fd, deadline_s)
    except TimeoutError:
        raise subprocess.TimeoutExpired(process.args, timeout_s) from None
    finally:
        os.close(ended_fd)
    return process.wait()


def _exchange(
    process: subprocess.Popen[bytes],
    given: bytes,
    output: Output,
    selector: selectors.BaseSelector,
    ended_fd: int,
    deadline_s: float,
) -> None:
    stdin, stdout = process.stdin, process.stdout
    left = memoryview(given)
    selector.register(ended_fd, selectors.EVENT_READ)
    if stdout:
        selector.register(stdout, selectors.EVENT_READ)
    if stdin:
        os.set_blocking(stdin.fileno(), False)
        selector.register(stdin, selectors.EVENT_WRITE)
    # Input that nobody reads is no reason to go on.
    ended = False
    while not ended:
        left_s = deadline_s - time.monotonic()
        ready = {key.fileobj for key, _ in selector.select(max(0.0, left_s))}
        if stdout in ready and stdout:
            data = os.read(stdout.fileno(), CHUNK_BYTES)
            output.add(data)
            if not data:
                selector.unregister(stdout)
        if stdin in ready and stdin and not (left := _give(stdin.fileno(), left)):
            selector.unregister(stdin)
            stdin.close()
        ended = ended_fd in ready
        # Also for a command that prints without end: its output is always ready.
        if not ended and left_s <= 0:
            raise TimeoutError
    if stdout:
        _take_rest(stdout.fileno(), output)
    output.add(b"", final=True)


def _take_rest(fd: int, output: Output) -> None:
    """What an ended command has printed is in the pipe: all of it, and nothing that a job adds from now on."""
    left_bytes = array("i", [0])
    fcntl.ioctl(fd, termios.FIONREAD, left_bytes)
    while left_bytes[0] > 0:
        data = os.read(fd, min(CHUNK_BYTES, left_bytes[0]))
        output.add(data)
        left_bytes[0] -= len(data)


def _give(fd: int, left: memoryview) -> memoryview:
    """Write as much as it takes; returns what is left: nothing if nobody reads it."""
    try:
        return left[os.write(fd, left[:CHUNK_BYTES]) :]
    except BrokenPipeError:
        return left[:0]
