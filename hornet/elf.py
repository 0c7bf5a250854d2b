"""What an ELF file needs to run: its interpreter and its shared libraries (System V ABI, dynamic linking)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from elftools.common.exceptions import ELFError
from elftools.elf.elffile import ELFFile

from hornet.errors import HornetError

MAGIC = b"\x7fELF"


class ElfError(HornetError):
    """A file says that it is ELF and is damaged."""


@dataclass(frozen=True)
class Linkage:
    """interpreter: a path or None; libraries: names as the file asks for them; search: its own RPATH and RUNPATH."""

    interpreter: str | None = None
    libraries: tuple[str, ...] = ()
    search: tuple[str, ...] = ()

    @property
    def needs(self) -> list[str]:
        """Everything by name: libraries, then the interpreter."""
        return [*self.libraries, *([self.interpreter] if self.interpreter else [])]


def read_linkage(path: Path) -> Linkage | None:
    """How a file is linked; None for anything that is no regular ELF file. Raises ElfError for a damaged one."""
    if path.is_symlink() or not path.is_file():
        return None
    try:
        with path.open("rb") as stream:
            return linkage_of(stream)
    except ElfError as error:
        raise ElfError(f"{path}: {error.message}") from error


def linkage_of(stream: BinaryIO) -> Linkage | None:
    """How an open file is linked; None if it is not ELF. Raises ElfError for a damaged one."""
    if stream.read(len(MAGIC)) != MAGIC:
        return None
    try:
        return _linkage(ELFFile(stream))
    # pyelftools raises all of these for files that are cut off or made up.
    except (ELFError, ValueError, KeyError, AttributeError, TypeError, OverflowError) as error:
        raise ElfError(f"a damaged ELF file: {error}") from error


def _linkage(elf: Any) -> Linkage:
    # Not the section of that name: what only runs may have no sections.
    dynamic = next(elf.iter_segments("PT_DYNAMIC"), None)
    tags = list(dynamic.iter_tags()) if dynamic else []
    interpreters = [segment.get_interp_name() for segment in elf.iter_segments("PT_INTERP")]
    return Linkage(
        interpreter=interpreters[0] if interpreters else None,
        libraries=tuple(tag.needed for tag in tags if tag.entry.d_tag == "DT_NEEDED"),
        search=tuple(
            directory
            for tag in tags
            if tag.entry.d_tag in ("DT_RPATH", "DT_RUNPATH")
            for directory in (tag.rpath if tag.entry.d_tag == "DT_RPATH" else tag.runpath).split(":")
        ),
    )
