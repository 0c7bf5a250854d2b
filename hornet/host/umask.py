"""One umask while artifacts are built: what a file's mode is in an image must not depend on who builds it."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

BUILD_UMASK = 0o022

_lock = threading.Lock()
_builds = 0
_caller_umask = 0


@contextmanager
def build_umask() -> Iterator[None]:
    """Files and directories that this process and its children make get the modes of BUILD_UMASK.

    A umask belongs to the whole process and builds run side by side in threads: the caller's is back when the last
    of them ends. What is secret must be made with its mode anyway.
    """
    global _builds, _caller_umask
    with _lock:
        if _builds == 0:
            _caller_umask = os.umask(BUILD_UMASK)
        _builds += 1
    try:
        yield
    finally:
        with _lock:
            _builds -= 1
            if _builds == 0:
                os.umask(_caller_umask)
