"""Small stand-ins for tests of the kernel builder: ELF files made to measure, and a kernel tree that builds at once."""

from __future__ import annotations

import gzip
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from hornet.formats.kconfig import IKCONFIG_BEGIN
from hornet.host.workspace import Workspace

BASE = 0xFFFFFFFF80000000  # as in Linux: a kernel's virtual address is its physical one plus this
PT_LOAD, PT_NOTE = 1, 4
READ_EXECUTE = 5


@dataclass(frozen=True)
class Load:
    """A PT_LOAD segment of a sample: physical address, data, and zeros after it."""

    physical: int
    data: bytes
    zeros: int = 0
    flags: int = READ_EXECUTE
    file_bytes: int | None = None  # a lie about the size of the data


@dataclass(frozen=True)
class Sample:
    """An ELF file; the defaults make a kernel that loads."""

    loads: tuple[Load, ...] = (Load(0x1000000, b"\x90" * 64),)
    entry: int = 0x1000000
    pvh_entry: int | None = 0x1000010
    note_align: int = 4
    elf_class: int = 2
    machine: int = 62
    elf_type: int = 2

    def write(self, path: Path) -> Path:
        note = b"" if self.pvh_entry is None else struct.pack("<III4sQ", 4, 8, 18, b"Xen\0", self.pvh_entry)
        parts = [note, *(load.data for load in self.loads)]
        names = b"\0.text\0.shstrtab\0"
        count = len(parts)
        offsets = [64 + 56 * count]
        for part in parts:
            offsets.append(offsets[-1] + len(part))
        headers = [struct.pack("<IIQQQQQQ", PT_NOTE, 4, offsets[0], 0, 0, len(note), len(note), self.note_align)]
        for load, offset in zip(self.loads, offsets[1:], strict=False):
            size = len(load.data) if load.file_bytes is None else load.file_bytes
            address = load.physical + BASE
            memory = len(load.data) + load.zeros
            headers.append(
                struct.pack("<IIQQQQQQ", PT_LOAD, load.flags, offset, address, load.physical, size, memory, 1)
            )
        # One executable section over the first segment, so that int3 padding in it counts as padding.
        text = self.loads[0] if self.loads else Load(0, b"")
        section = struct.pack("<IIQQQQIIQQ", 1, 1, 6, text.physical + BASE, offsets[1], len(text.data), 0, 0, 1, 0)
        strings = struct.pack("<IIQQQQIIQQ", 7, 3, 0, 0, offsets[-1], len(names), 0, 0, 1, 0)
        sections = offsets[-1] + len(names)
        head = b"\x7fELF" + bytes([self.elf_class, 1, 1]).ljust(12, b"\0")
        fields = (self.elf_type, self.machine, 1, self.entry, 64, sections, 0, 64, 56, count, 64, 3, 2)
        head += struct.pack("<HHIQQQIHHHHHH", *fields)
        path.write_bytes(b"".join([head, *headers, *parts, names, bytes(64), section, strings]))
        return path


def pack_bzimage(kernel: bytes, pack: Callable[[bytes], bytes]) -> bytes:
    """A boot sector with the fields that a loader reads, one set-up sector, and the packed kernel."""
    payload = pack(kernel)
    header = bytearray(1024)
    header[0x1F1] = 1
    header[0x202:0x206] = b"HdrS"
    header[0x248:0x24C] = (16).to_bytes(4, "little")
    header[0x24C:0x250] = len(payload).to_bytes(4, "little")
    return bytes(header) + bytes(16) + payload


def kernel_with(text: str) -> bytes:
    return b"\x7fELF" + bytes(100) + IKCONFIG_BEGIN + gzip.compress(text.encode()) + b"IKCFG_ED" + bytes(50)


MAKEFILE = """\
# A kernel tree that answers as the real one does to the builder's calls.
ifneq ($(words $(subst :, ,$(CURDIR))), 1)
$(error source directory cannot contain spaces or colons)
endif
CFLAGS = -O1 -ffreestanding -nostdlib -static -no-pie -fcf-protection=none
allnoconfig:
\t{ echo '# Linux/x86_64 6.1.99 Kernel Configuration'; grep -v 'CONFIG_DROPPED=' $(KCONFIG_ALLCONFIG); } > .config
vmlinux: main.c
\t@echo '  CC      main.o'
\t$(CC) $(CFLAGS) -Wl,--build-id=none -Wl,-T,link.lds -o $@ main.c
\techo 'ffffffff81000000 T start' > System.map
mrproper:
\trm -f .config vmlinux
"""
LINK = """\
ENTRY(start)
PHDRS { text PT_LOAD FLAGS(5); note PT_NOTE FLAGS(4); }
SECTIONS {
  . = 0x1000000;
  .text : { *(.text*) *(.data*) *(.rodata*) . = ALIGN(0x100000); } :text = 0xcccccccc
  .notes : { *(.note*) } :text :note
  /DISCARD/ : { *(.comment*) *(.eh_frame*) }
}
"""
MAIN = """\
__asm__(".globl start\\nstart: hlt\\n"
        ".pushsection .note.Xen, \\"a\\", @note\\n.align 4\\n"
        ".long 4, 8, 18\\n.asciz \\"Xen\\"\\n.quad start\\n.popsection");
const char builder[] = BUILDER;
"""
INIT_KCONFIG = """\
menuconfig EXPERT
\tbool "Configure standard kernel features (expert users)"
\t# Unhide debug options, to make the on-by-default options visible
\tselect DEBUG_KERNEL
\thelp
\t  This option allows certain base kernel options and settings
\t  to be disabled or tweaked. This is for specialized
"""


def write_tree(directory: Path, main: str = MAIN.replace("BUILDER", '"tree"')) -> Path:
    """A miniature kernel tree in `directory`."""
    (directory / "init").mkdir(parents=True)
    files = {"Makefile": MAKEFILE, "link.lds": LINK, "main.c": main, "Kconfig": "", "init/Kconfig": INIT_KCONFIG}
    for name, text in files.items():
        (directory / name).write_text(text)
    return directory


def assert_nothing_left(workspace: Workspace) -> None:
    """No kernel, and no half of one; what failed may be looked at."""
    kernels = workspace.build / "kernel"
    assert [path for path in kernels.iterdir() if path.is_dir() and not path.name.endswith(".failed")] == []
