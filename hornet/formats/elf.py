"""Reads the interpreter and the shared libraries that an ELF file needs (System V ABI, dynamic linking).

Only program headers are read, as the kernel and the dynamic linker do: what runs may have no sections. Every count and
length that the file names is bounded before it is used.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from hornet.errors import HornetError
from hornet.foreign_file import ForeignFileError, open_foreign

MAGIC = b"\x7fELF"
# A dynamic segment has some forty entries.
MAX_DYNAMIC_ENTRIES = 4096
# PATH_MAX of Linux, for each name; a search path may have several.
MAX_NAME_BYTES = 4096
MAX_FILE_BYTES = 4 << 30
PT_LOAD, PT_DYNAMIC, PT_INTERP, PT_NOTE = 1, 2, 3, 4
DT_NULL, DT_NEEDED, DT_STRTAB, DT_RPATH, DT_RUNPATH = 0, 1, 5, 15, 29
_IDENT_BYTES = 16
# By class (1: 32 bits, 2: 64): layout of the rest of the file header, of a program header, of a dynamic entry.
_HEADERS = {1: "HHIIIIIHHHHHH", 2: "HHIQQQIHHHHHH"}
_SEGMENTS = {1: "IIIIIIII", 2: "IIQQQQQQ"}
_DYNAMIC = {1: "II", 2: "QQ"}


class ElfError(HornetError):
    """An ELF file is damaged."""


@dataclass(frozen=True)
class Segment:
    """A program header: numbers as in the file."""

    type: int
    flags: int
    offset: int
    virtual_address: int
    physical_address: int
    file_bytes: int
    memory_bytes: int
    align_bytes: int


@dataclass(frozen=True)
class ElfFile:
    """An ELF file's header and program headers. bits: 32 or 64; byte_order: `<` little, `>` big endian."""

    stream: BinaryIO
    size_bytes: int
    bits: int
    byte_order: str
    type: int
    machine: int
    entry: int
    segments: tuple[Segment, ...]

    def of_type(self, segment_type: int) -> list[Segment]:
        """The segments of that type, in the file's order."""
        return [segment for segment in self.segments if segment.type == segment_type]

    def read(self, offset: int, length_bytes: int) -> bytes:
        """Bytes of the file. Raises ElfError if they are beyond its end."""
        if offset + length_bytes > self.size_bytes:
            raise ElfError(f"truncated: it refers to byte {offset + length_bytes}, and the file has {self.size_bytes}")
        self.stream.seek(offset)
        data = self.stream.read(length_bytes)
        if len(data) < length_bytes:
            raise ElfError("it was truncated during the read")
        return data

    def text(self, offset: int) -> str:
        """The zero-terminated text at an offset. Raises ElfError if it is longer than any name."""
        if not 0 <= offset < self.size_bytes:
            raise ElfError(f"truncated: a text at byte {offset}, and the file has {self.size_bytes}")
        data = self.read(offset, min(MAX_NAME_BYTES, self.size_bytes - offset))
        text, zero, _ = data.partition(b"\0")
        if not zero:
            raise ElfError(f"a name at byte {offset} has no end within {MAX_NAME_BYTES} bytes")
        return text.decode("utf-8", "replace")

    def offset_of(self, address: int) -> int:
        """The file offset of a virtual address. Raises ElfError if no segment loads it."""
        for load in self.of_type(PT_LOAD):
            if load.virtual_address <= address < load.virtual_address + load.file_bytes:
                return load.offset + address - load.virtual_address
        raise ElfError(f"no segment loads the address {address:#x}")

    def unpack(self, layout: str, data: bytes) -> tuple[int, ...]:
        """The first numbers in `data`, in the file's byte order."""
        return struct.unpack_from(self.byte_order + layout, data)


@dataclass(frozen=True)
class Linkage:
    """Dynamic linking. interpreter: a path or None. libraries: names as in the file. search: its RPATH and RUNPATH."""

    interpreter: str | None = None
    libraries: tuple[str, ...] = ()
    search: tuple[str, ...] = ()

    @property
    def needs(self) -> list[str]:
        """All names: libraries, then the interpreter."""
        return [*self.libraries, *([self.interpreter] if self.interpreter else [])]


def read_linkage(path: Path) -> Linkage | None:
    """The linking of a file; None if it is not a regular ELF file. Raises ElfError if it is damaged."""
    if path.is_symlink() or not path.is_file():
        return None
    try:
        with open_foreign(path, MAX_FILE_BYTES, follow_links=False) as stream:
            return linkage_of(stream)
    except ElfError as error:
        raise ElfError(f"{path}: {error.message}") from error
    except ForeignFileError as error:
        raise ElfError(error.message, error.hint) from error


def parse_elf(stream: BinaryIO) -> ElfFile:
    """Read the headers of an open ELF file. Raises ElfError if it is damaged or too large."""
    size_bytes = stream.seek(0, 2)
    stream.seek(0)
    ident = stream.read(_IDENT_BYTES)
    elf_class, order = (ident[4], ident[5]) if len(ident) == _IDENT_BYTES else (0, 0)
    if not ident.startswith(MAGIC) or elf_class not in _HEADERS or order not in (1, 2):
        raise ElfError(f"not an ELF file of 32 or 64 bits: it begins with {ident[:6].hex(' ') or 'nothing'}")
    byte_order = "<" if order == 1 else ">"
    layout = byte_order + _HEADERS[elf_class]
    head = stream.read(struct.calcsize(layout))
    if len(head) < struct.calcsize(layout):
        raise ElfError(f"its header is truncated: {size_bytes} bytes")
    elf_type, machine, _, entry, table, _, _, _, entry_bytes, count, _, _, _ = struct.unpack(layout, head)
    segment_layout = byte_order + _SEGMENTS[elf_class]
    if count and entry_bytes != struct.calcsize(segment_layout):
        raise ElfError(f"program headers of {entry_bytes} bytes, expected {struct.calcsize(segment_layout)}")
    bare = ElfFile(stream, size_bytes, 32 * elf_class, byte_order, elf_type, machine, entry, ())
    headers = bare.read(table, count * entry_bytes) if count else b""
    segments = tuple(_segment(elf_class, numbers) for numbers in struct.iter_unpack(segment_layout, headers))
    return ElfFile(stream, size_bytes, 32 * elf_class, byte_order, elf_type, machine, entry, segments)


def _segment(elf_class: int, numbers: tuple[int, ...]) -> Segment:
    if elf_class == 2:
        return Segment(*numbers)
    kind, offset, virtual, physical, file_bytes, memory_bytes, flags, align = numbers
    return Segment(kind, flags, offset, virtual, physical, file_bytes, memory_bytes, align)


def linkage_of(stream: BinaryIO) -> Linkage | None:
    """The linking of an open file; None if it is not ELF. Raises ElfError if it is damaged."""
    if stream.read(len(MAGIC)) != MAGIC:
        return None
    try:
        return _linkage(parse_elf(stream))
    except ElfError as error:
        raise ElfError(f"a damaged ELF file: {error.message}") from error


def _linkage(elf: ElfFile) -> Linkage:
    entries = list(_dynamic_entries(elf))
    strings = next((elf.offset_of(value) for tag, value in entries if tag == DT_STRTAB), None)
    names = [(tag, value) for tag, value in entries if tag in (DT_NEEDED, DT_RPATH, DT_RUNPATH)]
    if names and strings is None:
        raise ElfError("it needs libraries and has no table of their names")
    texts = [(tag, elf.text((strings or 0) + value)) for tag, value in names]
    interpreter = next(iter(elf.of_type(PT_INTERP)), None)
    return Linkage(
        interpreter=elf.text(interpreter.offset) if interpreter else None,
        libraries=tuple(text for tag, text in texts if tag == DT_NEEDED),
        search=tuple(part for tag, text in texts if tag != DT_NEEDED for part in text.split(":")),
    )


def _dynamic_entries(elf: ElfFile) -> Iterator[tuple[int, int]]:
    """Tag and value of each entry of the dynamic segment, up to DT_NULL."""
    dynamic = next(iter(elf.of_type(PT_DYNAMIC)), None)
    if dynamic is None:
        return
    layout = elf.byte_order + _DYNAMIC[elf.bits // 32]
    entry_bytes = struct.calcsize(layout)
    count = dynamic.file_bytes // entry_bytes
    if count > MAX_DYNAMIC_ENTRIES:
        raise ElfError(f"{count} dynamic entries, expected at most {MAX_DYNAMIC_ENTRIES}")
    for tag, value in struct.iter_unpack(layout, elf.read(dynamic.offset, count * entry_bytes)):
        if tag == DT_NULL:
            return
        yield tag, value
