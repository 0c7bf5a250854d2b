"""The compiler's cache of a HORNET_HOME: its place, its limit, and how it is trimmed. ccache does the work."""

from __future__ import annotations

import shutil
from pathlib import Path

from hornet.host.proc import run
from hornet.host.workspace import Workspace

PROGRAM = "ccache"
# One kernel's objects take 50 MB.
MAX_SIZE = "1G"
TRIM_TIMEOUT_S = 120
DAY_S = 86_400


def cache_directory(workspace: Workspace) -> Path:
    """Where the cache is; it may be missing."""
    return workspace.root / "cache" / "ccache"


def cache_environment(workspace: Workspace) -> dict[str, str]:
    """The variables with which ccache uses this cache. Raises HostError if the directory cannot be created."""
    return {"CCACHE_DIR": str(workspace.directory("cache", "ccache")), "CCACHE_MAXSIZE": MAX_SIZE}


def trim_cache(workspace: Workspace, older_than_days: float) -> None:
    """Cut the cache to its limit, and drop what was not used for this time; 0 for any age. A build may go on meanwhile.

    Raises CommandError if ccache fails.
    """
    if not cache_directory(workspace).is_dir() or shutil.which(PROGRAM) is None:
        return
    evict = ["--evict-older-than", f"{int(older_than_days * DAY_S)}s"] if older_than_days else []
    hint = f"delete the cache: rm -r {cache_directory(workspace)}"
    run([PROGRAM, *evict, "--cleanup"], env=cache_environment(workspace), timeout_s=TRIM_TIMEOUT_S, hint=hint)
