"""One umask for all builds: modes of files in an image must not depend on the user who builds it."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

BUILD_UMASK = 0o022

_lock = threading.Lock()
_builds = 0
_caller_umask = 0


def building() -> bool:
    """Whether this process builds something now."""
    return _builds > 0


@contextmanager
def build_umask() -> Iterator[None]:
    """Within the block, files and directories of this process and its children get the modes of BUILD_UMASK.

    A umask belongs to the whole process, and builds run in several threads. The caller's umask is restored when the
    last build ends. Secret files need an explicit mode anyway.
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
