"""The output of a guest or a VMM in bounded space: its head and its tail, with a notice between them if it was cut."""

from __future__ import annotations

import io
import os
from pathlib import Path

from hornet.host.file_copy import PRIVATE_MODE

# In characters, for text in memory. A whole boot fits into either part.
HEAD_CHARS = TAIL_CHARS = 256 << 10
# In bytes, for a file. The end of the output, such as a kernel panic, is always in the tail.
FILE_HEAD_BYTES = FILE_TAIL_BYTES = 1 << 20
FILE_MAX_BYTES = 4 << 20
TAIL_LINES = 25
LAST_LINES_CHARS = 4000


class Transcript:
    """A text that grows. It keeps its first and its last characters; adding takes linear time."""

    def __init__(self, head_chars: int = HEAD_CHARS, tail_chars: int = TAIL_CHARS) -> None:
        self._head_chars, self._tail_chars = head_chars, tail_chars
        self._head, self._tail = io.StringIO(), io.StringIO()
        self._length = 0

    def add(self, text: str) -> None:
        """Add to the end."""
        room = max(0, self._head_chars - self._length)
        self._length += len(text)
        self._head.write(text[:room])
        self._tail.write(text[room:])
        if self._tail.tell() > 2 * self._tail_chars:
            kept, self._tail = self._last(), io.StringIO()
            self._tail.write(kept)

    def parts(self) -> tuple[str, str]:
        """The head and the tail. If nothing was cut, the head is the whole text."""
        tail = self._last()
        if self.cut_chars:
            return self._head.getvalue(), tail
        return self._head.getvalue() + tail, ""

    @property
    def cut_chars(self) -> int:
        """How many characters were cut."""
        return max(0, self._length - self._head_chars - self._tail_chars)

    def __str__(self) -> str:
        head, tail = self.parts()
        return f"{head}\n{cut_notice(self.cut_chars, 'characters')}\n{tail}" if self.cut_chars else head

    def _last(self) -> str:
        return self._tail.getvalue()[-self._tail_chars :]


class BoundedFile:
    """A log file that keeps its first and its last bytes. Write errors, as on a full disk, are ignored."""

    def __init__(
        self, path: Path, *, head: int = FILE_HEAD_BYTES, tail: int = FILE_TAIL_BYTES, limit: int = FILE_MAX_BYTES
    ) -> None:
        """All in bytes. The file is rewritten whenever it exceeds `limit`, so head and tail should be well below it."""
        self.path = path
        self._head, self._tail, self._limit = head, tail, limit
        self._cut_bytes = self._size = self._notice_bytes = 0
        # Unbuffered, so that other processes see the output immediately.
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, PRIVATE_MODE)
        self._file = os.fdopen(fd, "r+b", buffering=0)

    def write(self, data: bytes) -> None:
        """Add to the end."""
        try:
            self._size += self._file.write(data)
            if self._size > self._limit:
                self._cut()
        except OSError:
            return

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    @property
    def closed(self) -> bool:
        """Whether close() was called."""
        return self._file.closed

    def _cut(self) -> None:
        self._file.seek(self._size - self._tail)
        kept = self._file.read(self._tail)
        self._cut_bytes += self._size - self._head - self._notice_bytes - len(kept)
        notice = f"\n{cut_notice(self._cut_bytes, 'bytes')}\n".encode()
        self._file.seek(self._head)
        self._file.truncate()
        self._size = self._head + self._file.write(notice + kept)
        self._notice_bytes = len(notice)


def cut_notice(count: int, unit: str) -> str:
    """The line that replaces the part that was cut."""
    return f"[hornetos: {count} {unit} cut here]"


def last_lines(text: str, lines: int = TAIL_LINES) -> str:
    """The last lines of a text, for error messages; empty if it has none."""
    return "\n".join(text[-LAST_LINES_CHARS:].splitlines()[-lines:])
