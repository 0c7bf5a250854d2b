"""What commands print goes through here: text from outside is shown and not obeyed, a closed pipe ends quietly."""

from __future__ import annotations

import errno
import io
import os
import sys
from typing import TextIO

from hornet.text import printable

# What a shell reports of a program that SIGPIPE has ended, as it ends others when nobody reads them any more.
CLOSED_PIPE_EXIT_CODE = 141


class CheckedStream(io.TextIOBase):
    """Standard output or error: a pipe that nobody reads any more ends the process, quietly.

    Not a subclass of TextIOWrapper, and without a `buffer`, so that nothing can write past it.
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
        """Raises OSError if anything could not be written: click, for one, swallows that of its first write."""
        self.flush()
        if self._failed:
            raise self._failed

    def _fail(self, error: OSError) -> None:
        """Nothing more is written, and a clean-up is not disturbed again.

        What is still buffered would fail once more when the interpreter ends, with exit code 120.
        """
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self._terminal.fileno())
        os.close(nowhere)
        if error.errno == errno.EPIPE:
            raise SystemExit(CLOSED_PIPE_EXIT_CODE) from None
        self._failed = OSError(error.errno, error.strerror, self._name)
        raise self._failed from error


class PrintableStream(CheckedStream):
    """The same as print() and libraries see it: everything that passes becomes printable().

    Never a terminal, so that libraries add no colours, which would be shown as text.
    """

    def write(self, text: str) -> int:
        return super().write(printable(text))

    @property
    def coloured(self) -> TerminalStream:
        """The stream for text that is printable already, and for its colours."""
        return TerminalStream(self._terminal, self._name)


class TerminalStream(CheckedStream):
    """A terminal, if the stream is one."""

    def isatty(self) -> bool:
        return self._terminal.isatty()


def check_output() -> None:
    """Raises OSError if standard output could not be written."""
    if isinstance(sys.stdout, PrintableStream):
        sys.stdout.check()


def protect_streams() -> None:
    """From here on the process shows what it prints, and obeys none of it. For the start of a command."""
    for name in ("stdout", "stderr"):
        # None where it is closed; what a command opens next would then be taken for its output.
        stream = getattr(sys, name) or open(os.devnull, "w")  # noqa: PTH123, SIM115
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
        setattr(sys, name, PrintableStream(stream, f"standard {'output' if name == 'stdout' else 'error'}"))
