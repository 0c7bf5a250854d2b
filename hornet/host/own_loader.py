"""Programs of an unpacked distribution run here with their own loader and libraries."""

from __future__ import annotations

from pathlib import Path

PROGRAM_DIRECTORIES = ("usr/sbin", "usr/bin")
_LIBRARIES = "lib/x86_64-linux-gnu"
_LOADER = f"usr/{_LIBRARIES}/ld-linux-x86-64.so.2"
# Relative to the program: the loader would split an absolute path at a colon.
_LIBRARY_PATH = f"$ORIGIN/../{_LIBRARIES}"


def own_loader(tree: Path, program: Path) -> list[str]:
    """The words that start a program of `tree`, which lies in one of PROGRAM_DIRECTORIES, with the tree's libraries."""
    return [str(tree / _LOADER), "--library-path", _LIBRARY_PATH, str(program)]
