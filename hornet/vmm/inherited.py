"""Files that a VMM opens by name but has no permission to open: it inherits descriptors of them (see inherited.c)."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path

from hornet.host.c_compiler import compile_c

SOURCE = Path(__file__).with_name("inherited.c")
COMPILER = ("gcc", "-shared", "-fPIC", "-O2", "-Wall", "-Wextra", "-Werror", "-U_FORTIFY_SOURCE", "-s")
# The library's path in the jail. Inherited files have names in the same directory, but do not exist there.
LIBRARY = Path("/hornet/inherited.so")


@cache
def library() -> bytes:
    """The library to preload, compiled once in this process. Raises CommandError without a C compiler."""
    return compile_c(COMPILER, SOURCE)


def environment(files: Mapping[str, int]) -> dict[str, str]:
    """The environment variables that make a VMM open inherited descriptors under these names."""
    return {"LD_PRELOAD": str(LIBRARY), **{f"HORNET_FD_{fd}": name for name, fd in files.items()}}
