"""The host's compiler. Its output differs between releases, so its version is part of an artifact's cache key."""

from __future__ import annotations

from hornet.host.proc import run

QUERY_TIMEOUT_S = 60.0


def toolchain() -> dict[str, str]:
    """The versions of the compiler and the linker, for an artifact's cache key. Raises CommandError."""
    return {"compiler": _first_line("gcc"), "linker": _first_line("ld")}


def _first_line(tool: str) -> str:
    return run([tool, "--version"], timeout_s=QUERY_TIMEOUT_S).output.splitlines()[0]
