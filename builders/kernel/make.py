"""Runs the kernel's make, also for a tree below a directory whose name make refuses."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from hornet.host.proc import Completed, run

# Linux's Makefile: "source directory cannot contain spaces or colons".
REFUSED = re.compile(r"[\s:]")
# Every host has this directory, no tree lies in it, and a compiler does not read it.
PLAIN = "/sys"
BIND = f'mount --bind "$0" {PLAIN} && cd {PLAIN} && exec "$@"'


def make(tree: Path, *words: str, **options: Any) -> Completed:
    """Run make in a kernel's source tree; options as those of run(). Raises CommandError.

    In a mount namespace of its own, make sees a tree with a refused name as PLAIN. That needs CAP_SYS_ADMIN.
    """
    argv = ["make", *words]
    if REFUSED.search(str(tree)):
        argv = ["unshare", "--mount", "sh", "-c", BIND, str(tree), *argv]
    return run(argv, cwd=tree, **options)
