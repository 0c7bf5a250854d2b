"""A disk whose only program proves that a guest runs programs: it exits, and the kernel reports with which code.

A KVM exists that runs a kernel up to its first program and none of that program's system calls.
"""

from __future__ import annotations

import struct
from pathlib import Path

from hornet.errors import HostError
from hornet.host.proc import run

PATH = "/init"
EXIT_CODE = 0x42
# What the kernel says when its first program ends: the wait status holds the exit code in its second byte.
REPORT = rf"Attempted to kill init! exitcode=0x{EXIT_CODE << 8:08x}"
DISK_BYTES = 2 << 20
MKFS_TIMEOUT_S = 60

LOAD_ADDRESS = 0x400000
ELF_HEADER_BYTES, PROGRAM_HEADER_BYTES = 64, 56
EM_X86_64, ET_EXEC, PT_LOAD, READ_EXECUTE = 62, 2, 1, 5
SYS_EXIT_GROUP = 231
# mov edi, EXIT_CODE; mov eax, SYS_EXIT_GROUP; syscall
CODE = b"\xbf" + struct.pack("<I", EXIT_CODE) + b"\xb8" + struct.pack("<I", SYS_EXIT_GROUP) + b"\x0f\x05"


def program() -> bytes:
    """A static ELF executable for x86-64 Linux that exits with EXIT_CODE (System V ABI, elf(5))."""
    start = ELF_HEADER_BYTES + PROGRAM_HEADER_BYTES
    size = start + len(CODE)
    ident = b"\x7fELF" + bytes([2, 1, 1]) + bytes(9)
    header = struct.pack(
        "<16sHHIQQQIHHHHHH",
        *(ident, ET_EXEC, EM_X86_64, 1, LOAD_ADDRESS + start, ELF_HEADER_BYTES, 0, 0),
        *(ELF_HEADER_BYTES, PROGRAM_HEADER_BYTES, 1, 0, 0, 0),
    )
    segment = struct.pack("<IIQQQQQQ", PT_LOAD, READ_EXECUTE, 0, LOAD_ADDRESS, LOAD_ADDRESS, size, size, 0x1000)
    return header + segment + CODE


def make_disk(disk: Path, work: Path) -> None:
    """Write an ext4 image with the program as PATH. work: an empty directory. Raises HostError, CommandError."""
    tree = work / "tree"
    try:
        tree.mkdir()
        (tree / PATH.lstrip("/")).write_bytes(program())
        (tree / PATH.lstrip("/")).chmod(0o755)
        with disk.open("r+b") as file:
            file.truncate(DISK_BYTES)
    except OSError as error:
        raise HostError(f"{disk}: can't be written: {error.strerror}", "free space there") from error
    run(["mkfs.ext4", "-q", "-F", "-O", "^has_journal", "-d", tree, disk], timeout_s=MKFS_TIMEOUT_S)
