"""Exchanges input and output with a command of the host, in bounded time and memory."""

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
# A command that prints more is killed: a truncated output must not be judged.
MAX_OUTPUT_BYTES = 64 << 20
LAST_LINES, LAST_LINE_CHARS = 15, 500


class TooMuchOutputError(Exception):
    """A command printed more than MAX_OUTPUT_BYTES."""


class Output:
    """The output of one command, as text with "\\n" as line ends: stored, logged, and passed on line by line."""

    def __init__(self, log: TextIO | None, on_line: Callable[[str], None] | None) -> None:
        self._log, self._on_line = log, on_line
        self._decoder = io.IncrementalNewlineDecoder(codecs.getincrementaldecoder("utf-8")("replace"), translate=True)
        self._pieces: list[str] = []
        self._line: list[str] = []
        self._size_bytes = 0

    @property
    def text(self) -> str:
        """The complete output."""
        return "".join(self._pieces)

    def tail(self) -> str:
        """The last lines for error messages, each on its own line after a bar."""
        last = deque(self.text.splitlines(), LAST_LINES)
        return "".join(f"\n  | {line[-LAST_LINE_CHARS:].rstrip()}" for line in last)

    def add(self, data: bytes, *, final: bool = False) -> None:
        """Append output. Raises TooMuchOutputError, or OSError if the log cannot be written."""
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
    """Write a command's input and read its output until it ends; returns its exit code.

    Output that a leftover background job prints after the command's end is ignored. Raises subprocess.TimeoutExpired,
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
    # Unread input does not keep the exchange going.
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
        # This also ends a command that prints without end: its output is always ready.
        if not ended and left_s <= 0:
            raise TimeoutError
    if stdout:
        _take_rest(stdout.fileno(), output)
    output.add(b"", final=True)


def _take_rest(fd: int, output: Output) -> None:
    """Read what the ended command left in the pipe, but nothing that a background job adds from now on."""
    left_bytes = array("i", [0])
    fcntl.ioctl(fd, termios.FIONREAD, left_bytes)
    while left_bytes[0] > 0:
        data = os.read(fd, min(CHUNK_BYTES, left_bytes[0]))
        output.add(data)
        left_bytes[0] -= len(data)


def _give(fd: int, left: memoryview) -> memoryview:
    """Write as much as the pipe accepts; returns the rest, or nothing if the reader is gone."""
    try:
        return left[os.write(fd, left[:CHUNK_BYTES]) :]
    except BrokenPipeError:
        return left[:0]
