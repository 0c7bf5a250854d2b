"""The host's compiler: what it makes differs from release to release, so it is part of the key of what it made."""

from __future__ import annotations

from hornet.host.proc import run

QUERY_TIMEOUT_S = 60.0


def toolchain() -> dict[str, str]:
    """What goes into the key of an artifact: the compiler's and the linker's versions. Raises CommandError."""
    return {"compiler": _first_line("gcc"), "linker": _first_line("ld")}


def _first_line(tool: str) -> str:
    return run([tool, "--version"], timeout_s=QUERY_TIMEOUT_S).output.splitlines()[0]
