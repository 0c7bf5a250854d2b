"""Files that a VMM opens by name and may not open itself: it inherits them as descriptors (see inherited.c)."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path

from hornet.host.c_compiler import compile_c

SOURCE = Path(__file__).with_name("inherited.c")
COMPILER = ("gcc", "-shared", "-fPIC", "-O2", "-Wall", "-Wextra", "-Werror", "-U_FORTIFY_SOURCE", "-s")
# Where the jail has the library, and a directory of names that exist nowhere.
LIBRARY = Path("/hornet/inherited.so")


@cache
def library() -> bytes:
    """The library to preload, compiled once in this process. Raises CommandError without a C compiler."""
    return compile_c(COMPILER, SOURCE)


def environment(files: Mapping[str, int]) -> dict[str, str]:
    """What a VMM's environment must say so that it opens inherited descriptors by these names."""
    return {"LD_PRELOAD": str(LIBRARY), **{f"HORNET_FD_{fd}": name for name, fd in files.items()}}
