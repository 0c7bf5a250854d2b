"""Fetches one file by HTTP, and keeps it only if its content is the expected one."""

from __future__ import annotations

import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from builders.downloads import require_source
from hornet.errors import BuildError
from hornet.host.artifact_store import file_sha256
from hornet.host.owned import Owned
from hornet.host.progress import Progress

DOWNLOAD_TIMEOUT_S = 1800.0
STALL_TIMEOUT_S = 60.0
CHUNK_BYTES = 1 << 20


def download(url: str, sha256: str, target: Path, hint: str, progress: Progress) -> None:
    """Fetch `url`. The file gets its name only when it is complete and has that hash.

    hint: what to do if it can't be fetched. Raises BuildError.
    """
    with _open(url, hint) as response, Owned.file(target.parent, target.name, 0o644) as partial:
        with open(partial.fd, "wb", closefd=False) as file:
            _copy(response, file, lambda got: progress.update(f"{url}: {got >> 20} MiB"))
        found = file_sha256(partial.path)
        if found != sha256:
            raise BuildError(
                f"{url}: SHA-256 is {found}, expected {sha256}",
                "the file is damaged or a different one: use another mirror, or correct the expected hash",
            )
        partial.path.replace(target)


def download_text(url: str, max_bytes: int, hint: str) -> str:
    """The first max_bytes of a short text. Raises BuildError."""
    with _open(url, hint) as response:
        return str(response.read(max_bytes).decode("utf-8", "replace"))


@contextmanager
def _open(url: str, hint: str) -> Iterator[Any]:
    require_source(url.rpartition("/")[2], lambda: [url], hint=hint)
    try:
        with urllib.request.urlopen(url, timeout=STALL_TIMEOUT_S) as response:
            yield response
    except (urllib.error.URLError, TimeoutError, ConnectionError) as error:
        raise BuildError(f"{url}: {getattr(error, 'reason', error)}", hint) from error


def _copy(response: BinaryIO, file: BinaryIO, on_bytes: Callable[[int], None]) -> None:
    deadline_s = time.monotonic() + DOWNLOAD_TIMEOUT_S
    got_bytes = 0
    while chunk := response.read(CHUNK_BYTES):
        file.write(chunk)
        got_bytes += len(chunk)
        on_bytes(got_bytes)
        if time.monotonic() > deadline_s:
            raise TimeoutError(f"not complete after {DOWNLOAD_TIMEOUT_S:g} s")
