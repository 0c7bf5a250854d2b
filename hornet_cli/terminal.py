"""The output streams of every command. Control characters are escaped, and a closed pipe ends the process silently."""

from __future__ import annotations

import errno
import io
import os
import sys
from typing import TextIO

from hornet.text import printable

# A shell reports this for a program that SIGPIPE ended: 128 + 13.
CLOSED_PIPE_EXIT_CODE = 141


class CheckedStream(io.TextIOBase):
    """Standard output or error. If the reader closes the pipe, the process ends silently.

    It is not a subclass of TextIOWrapper and has no `buffer`, so that nothing can bypass it.
    """

    def __init__(self, terminal: TextIO, name: str) -> None:
        self._terminal = terminal
        self._name = name
        self._failed: OSError | None = None

    @property
    def encoding(self) -> str:  # type: ignore[override]  # not settable
        return self._terminal.encoding

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._terminal.fileno()

    def write(self, text: str) -> int:
        try:
            self._terminal.write(text)
        except OSError as error:
            self._fail(error)
        return len(text)

    def flush(self) -> None:
        try:
            self._terminal.flush()
        except OSError as error:
            self._fail(error)

    def check(self) -> None:
        """Raises OSError if any write failed, even one whose error a caller ignored, as click does with its first."""
        self.flush()
        if self._failed:
            raise self._failed

    def _fail(self, error: OSError) -> None:
        """Discard all further output, so that the same error does not interrupt the clean-up.

        Otherwise flushing the buffered text at the interpreter's exit would fail again, with exit code 120.
        """
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self._terminal.fileno())
        os.close(nowhere)
        if error.errno == errno.EPIPE:
            raise SystemExit(CLOSED_PIPE_EXIT_CODE) from None
        self._failed = OSError(error.errno, error.strerror, self._name)
        raise self._failed from error


class PrintableStream(CheckedStream):
    """The stream for print() and for libraries: it makes all text printable().

    It is never a terminal, so that libraries add no colours: their escape sequences would be shown as text.
    """

    def write(self, text: str) -> int:
        return super().write(printable(text))

    @property
    def coloured(self) -> TerminalStream:
        """The stream for text that is already printable; it passes colours through."""
        return TerminalStream(self._terminal, self._name)


class TerminalStream(CheckedStream):
    """A stream that passes text unchanged. It is a terminal if the stream below it is one."""

    def isatty(self) -> bool:
        return self._terminal.isatty()


def check_output() -> None:
    """Raises OSError if standard output could not be written."""
    if isinstance(sys.stdout, PrintableStream):
        sys.stdout.check()


def protect_streams() -> None:
    """From now on escape control characters in everything that the process prints. Call it when a command starts."""
    for name in ("stdout", "stderr"):
        # A closed stream is None. The next file that the command opens would get its descriptor and the output.
        stream = getattr(sys, name) or open(os.devnull, "w")  # noqa: PTH123, SIM115
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
        setattr(sys, name, PrintableStream(stream, f"standard {'output' if name == 'stdout' else 'error'}"))
