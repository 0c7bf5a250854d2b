"""Shrinks the vmlinux file without changing the loaded image, and checks it against the rules of the VMMs' loaders.

A linked vmlinux is mostly alignment: the linker pads to 2 MiB, with zeros, and with int3 in the code. strip_padding()
writes the same image as many short PT_LOAD segments. A run of padding becomes the zero-filled tail of the segment
before it (p_memsz > p_filesz), which every ELF loader must support. Sections, symbols and debug data are left out.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from elftools.common.exceptions import ELFError
from elftools.construct import Container
from elftools.elf.elffile import ELFFile

from hornet.errors import BuildError
from hornet.foreign_file import ForeignFileError, open_foreign
from hornet.formats.elf import PT_LOAD, PT_NOTE, ElfError, ElfFile, Segment, parse_elf
from hornet.formats.kconfig import MAX_KERNEL_BYTES

# Shorter runs stay in the file: leaving out a run costs a program header, and padding comes in pages.
PADDING_MIN_BYTES = 4096
PADDING = re.compile(rb"\0{%d,}|\xcc{%d,}" % (PADDING_MIN_BYTES, PADDING_MIN_BYTES))
SHF_EXECINSTR = 4
# A VMM writes the boot parameters, the page tables and the command line below 1 MiB.
LOWEST_ADDRESS = 1 << 20
# xen/interface/elfnote.h: the 32-bit entry point of the PVH boot protocol, which QEMU uses to start a vmlinux.
PVH_ENTRY_NOTE = 18
NOTE_ALIGN_BYTES = 4
NOTE_HEAD_BYTES = 12
# A kernel has a few hundred bytes of notes.
MAX_NOTES_BYTES = 64 << 10
EM_X86_64 = 62
ET_EXEC = 2
SHOWN_PROBLEMS = 20


@dataclass(frozen=True)
class Loadable:
    """The data that a VMM's loader reads from a vmlinux. Addresses are physical."""

    entry: int
    pvh_entry: int
    segments: int
    end: int


@dataclass(frozen=True)
class _Piece:
    """A part of a segment: `data` is in the file, and zeros follow it in memory up to `memory_bytes`."""

    segment: Container
    offset_bytes: int
    data: bytes
    memory_bytes: int
    align_bytes: int


def strip_padding(vmlinux: Path, target: Path) -> None:
    """Write `vmlinux` without padding, sections and symbols to `target`.

    int3 counts as padding only within executable sections. It is never executed and becomes zeros in memory.
    Raises BuildError for a file that is not a valid ELF file.
    """
    with vmlinux.open("rb") as stream:
        try:
            elf = ELFFile(stream)
            code = [
                range(section["sh_addr"], section["sh_addr"] + section["sh_size"])
                for section in elf.iter_sections()
                if section["sh_flags"] & SHF_EXECINSTR
            ]
            pieces = [piece for load in elf.iter_segments("PT_LOAD") for piece in _pieces(load, code)]
            # Loaders use the segment's alignment to parse notes, so it must stay.
            notes = [
                _Piece(note.header, 0, note.data(), note["p_memsz"], note["p_align"])
                for note in elf.iter_segments("PT_NOTE")
            ]
            image = _assemble(elf, [*pieces, *notes])
        except ELFError as error:
            raise BuildError(f"{vmlinux}: not a valid ELF file: {error}") from error
    target.write_bytes(image)


def _pieces(load: Any, code: Sequence[range]) -> Iterator[_Piece]:
    """The segment split at the padding. The pieces cover the same memory without gap or overlap."""
    data = load.data()
    runs = [run.span() for run in PADDING.finditer(data) if _may_go(run, load["p_vaddr"], code)]
    begins = [0, *(end for _, end in runs)]
    data_ends = [*(begin for begin, _ in runs), len(data)]
    memory_ends = [*begins[1:], load["p_memsz"]]
    for begin, data_end, memory_end in zip(begins, data_ends, memory_ends, strict=True):
        # File alignment is not needed: a VMM copies the data into guest memory and does not map it.
        yield _Piece(load.header, begin, data[begin:data_end], memory_end - begin, align_bytes=1)


def _may_go(run: re.Match[bytes], address: int, code: Sequence[range]) -> bool:
    begin, last = address + run.start(), address + run.end() - 1
    return run[0][0] == 0 or any(begin in section and last in section for section in code)


def _assemble(elf: Any, pieces: Sequence[_Piece]) -> bytes:
    """An ELF file of these pieces: file header, program headers, then the data, tightly packed."""
    file_header, program_header = elf.structs.Elf_Ehdr, elf.structs.Elf_Phdr
    first_bytes = file_header.sizeof() + len(pieces) * program_header.sizeof()
    offsets = itertools.accumulate((len(piece.data) for piece in pieces), initial=first_bytes)
    # No section headers: loaders read only program headers.
    head = _changed(elf.header, e_phoff=file_header.sizeof(), e_phnum=len(pieces), e_shoff=0, e_shnum=0, e_shstrndx=0)
    programs = [
        _changed(
            piece.segment,
            p_offset=offset,
            p_vaddr=piece.segment.p_vaddr + piece.offset_bytes,
            p_paddr=piece.segment.p_paddr + piece.offset_bytes,
            p_filesz=len(piece.data),
            p_memsz=piece.memory_bytes,
            p_align=piece.align_bytes,
        )
        for piece, offset in zip(pieces, offsets, strict=False)
    ]
    return b"".join([file_header.build(head), *map(program_header.build, programs), *(piece.data for piece in pieces)])


def _changed(header: Container, **fields: int) -> Container:
    return Container(**{**dict(header), **fields})


def check_loadable(vmlinux: Path) -> Loadable:
    """Check a vmlinux against the rules of Firecracker's loader (rust-vmm linux-loader) and QEMU's PVH loader.

    The rules: ELF64 for x86-64, little endian; PT_LOAD segments complete in the file, at or above 1 MiB, not
    overlapping; an entry point that is loaded from the file; a PVH note whose entry point is, too. The segment of an
    entry point need not be executable: no loader looks at that, and Linux 7.3 has its own in a data segment. Raises
    BuildError that lists every problem.
    """
    try:
        with open_foreign(vmlinux, MAX_KERNEL_BYTES) as stream:
            return loadable(stream)
    except ElfError as error:
        raise BuildError(f"{vmlinux}: not a valid ELF file: {error.message}", "give an uncompressed vmlinux") from error
    except ForeignFileError as error:
        raise BuildError(error.message, error.hint) from error
    except BuildError as error:
        raise BuildError(f"{vmlinux} {error.message}", error.hint) from error


def loadable(stream: BinaryIO) -> Loadable:
    """check_loadable() for an open vmlinux. Raises BuildError, and ElfError for an invalid ELF file."""
    elf = parse_elf(stream)
    loads = [load for load in elf.of_type(PT_LOAD) if load.memory_bytes]
    problems = [*_format_problems(elf), *_segment_problems(loads, elf.size_bytes)]
    problems += _entry_problems("entry point", elf.entry, loads)
    # The notes of a broken file can't be read; its other problems explain why.
    pvh_entry = 0 if problems else _pvh_entry(elf)
    if pvh_entry is None:
        problems.append("no PVH note: QEMU can't start it (CONFIG_PVH=y adds it)")
    elif not problems:
        problems += _entry_problems("PVH entry point", pvh_entry, loads)
    if problems or pvh_entry is None:
        shown = problems[:SHOWN_PROBLEMS]
        if len(problems) > len(shown):
            shown.append(f"and {len(problems) - len(shown)} more")
        raise BuildError(
            "is not a kernel that Firecracker and QEMU can load:" + "".join(f"\n  {problem}" for problem in shown),
            "build an x86-64 vmlinux (not a bzImage)",
        )
    return Loadable(elf.entry, pvh_entry, len(loads), max(load.physical_address + load.memory_bytes for load in loads))


def _format_problems(elf: ElfFile) -> Iterator[str]:
    for what, found, expected in (
        ("class", elf.bits, 64),
        ("byte order", "little" if elf.byte_order == "<" else "big", "little"),
        ("machine", elf.machine, EM_X86_64),
        ("type", elf.type, ET_EXEC),
    ):
        if found != expected:
            yield f"ELF {what} is {found}, expected {expected}"


def _segment_problems(loads: Sequence[Segment], file_bytes: int) -> Iterator[str]:
    if not loads:
        yield "no PT_LOAD segment: nothing would be loaded"
    for load in loads:
        name = f"segment at {load.physical_address:#x}"
        if load.offset + load.file_bytes > file_bytes:
            yield f"{name}: cut off, it ends at byte {load.offset + load.file_bytes} of a file of {file_bytes}"
        if load.file_bytes > load.memory_bytes:
            yield f"{name}: {load.file_bytes} bytes in the file, but only {load.memory_bytes} in memory"
        if load.physical_address < LOWEST_ADDRESS:
            yield f"{name}: below {LOWEST_ADDRESS:#x}, where the VMM writes boot data"
    ordered = sorted(loads, key=lambda load: load.physical_address)
    for one, following in itertools.pairwise(ordered):
        if one.physical_address + one.memory_bytes > following.physical_address:
            yield f"segment at {one.physical_address:#x}: overlaps the one at {following.physical_address:#x}"


def _entry_problems(what: str, address: int, loads: Sequence[Segment]) -> list[str]:
    for load in loads:
        if load.physical_address <= address < load.physical_address + load.file_bytes:
            return []
    return [f"{what} {address:#x} lies in no segment's physical memory, as far as the file fills it"]


def _pvh_entry(elf: ElfFile) -> int | None:
    """The PVH entry point, if a loader can find it. Notes are padded to their segment's alignment, 4 in a kernel."""
    for segment in elf.of_type(PT_NOTE):
        if segment.align_bytes == NOTE_ALIGN_BYTES and segment.file_bytes <= MAX_NOTES_BYTES:
            for name, kind, description in _notes(elf, elf.read(segment.offset, segment.file_bytes)):
                if (name, kind) == (b"Xen\0", PVH_ENTRY_NOTE) and len(description) in (4, 8):
                    return int.from_bytes(description, "little")
    return None


def _notes(elf: ElfFile, data: bytes) -> Iterator[tuple[bytes, int, bytes]]:
    """Name, type and description of each complete note (System V ABI, Note Section)."""
    while len(data) >= NOTE_HEAD_BYTES:
        name_bytes, description_bytes, kind = elf.unpack("III", data)
        description_at = NOTE_HEAD_BYTES + _aligned(name_bytes)
        end = description_at + description_bytes
        if end > len(data):
            return
        yield data[NOTE_HEAD_BYTES : NOTE_HEAD_BYTES + name_bytes], kind, data[description_at:end]
        data = data[_aligned(end) :]


def _aligned(size_bytes: int) -> int:
    return -(-size_bytes // NOTE_ALIGN_BYTES) * NOTE_ALIGN_BYTES
