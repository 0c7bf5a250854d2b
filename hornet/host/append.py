"""Appends lines to files that several processes write at the same time."""

from __future__ import annotations

import os
from pathlib import Path

from hornet.errors import HostError


def append_line(path: Path, line: str) -> None:
    """Add a line in a single write, so that the lines of several processes never interleave.

    Raises HostError for a full or unwritable disk.
    """
    data = line.encode() + b"\n"
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            written = os.write(descriptor, data)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise HostError(f"{path}: {error.strerror}", f"make {path.parent} writable, or free space there") from error
    if written != len(data):
        raise HostError(f"{path}: only {written} of {len(data)} bytes could be written", "free space there")
