"""What a command of the host reads and prints: exchanged with it in bounded time and memory, whatever it prints."""

from __future__ import annotations

import codecs
import io
import os
import selectors
import subprocess
import time
from collections import deque
from collections.abc import Callable
from typing import TextIO

CHUNK_BYTES = 1 << 16
# A command that prints more is ended: half an output must not be judged.
MAX_OUTPUT_BYTES = 64 << 20
# A background job may hold the output open for ever. What the command itself printed is in the pipe when it has ended.
GRACE_S, GRACE_BYTES = 0.5, 1 << 20
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

    Raises subprocess.TimeoutExpired, TooMuchOutputError. The output of a job that it leaves behind is read for GRACE_S,
    GRACE_BYTES of it at most.
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
    ended, size_bytes = False, 0
    # Input that nobody reads is no reason to go on.
    while not ended or (stdout and stdout in selector.get_map()):
        left_s = deadline_s - time.monotonic()
        # Also of one that prints without end: its output is always ready.
        if left_s <= 0:
            if ended:
                break
            raise TimeoutError
        ready = {key.fileobj for key, _ in selector.select(left_s)}
        if stdout in ready and stdout:
            data = os.read(stdout.fileno(), CHUNK_BYTES)
            output.add(data)
            size_bytes += len(data) if ended else 0
            if not data or size_bytes > GRACE_BYTES:
                selector.unregister(stdout)
        if stdin in ready and stdin and not (left := _give(stdin.fileno(), left)):
            selector.unregister(stdin)
            stdin.close()
        if ended_fd in ready:
            selector.unregister(ended_fd)
            ended = True
            deadline_s = min(deadline_s, time.monotonic() + GRACE_S)
    output.add(b"", final=True)


def _give(fd: int, left: memoryview) -> memoryview:
    """Write as much as it takes; returns what is left: nothing if nobody reads it."""
    try:
        return left[os.write(fd, left[:CHUNK_BYTES]) :]
    except BrokenPipeError:
        return left[:0]
