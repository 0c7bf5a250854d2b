"""The file of a kernel: a vmlinux is judged and booted, nothing that has one packed inside."""

from __future__ import annotations

import struct
from pathlib import Path

from hornet.errors import HornetError
from hornet.foreign_file import ForeignFileError, open_foreign
from hornet.formats.kconfig import BZIMAGE_MAGIC, BZIMAGE_MAGIC_OFFSET, MAX_KERNEL_BYTES
from hornet.formats.magic import BZIMAGE, packed_format

HEAD_BYTES = 0x250
ELF_MAGIC, ELF_64_BITS, EM_X86_64 = b"\x7fELF", 2, 62


class KernelFileError(HornetError):
    """A file is not a kernel that can be judged."""


def require_vmlinux(path: Path) -> Path:
    """The path, if it is an x86-64 vmlinux. Raises KernelFileError that says what it is and how to get the vmlinux.

    A bzImage would pass: its configuration is readable, some VMMs boot it, and its packed size is a third.
    """
    try:
        with open_foreign(path, MAX_KERNEL_BYTES) as stream:
            head = stream.read(HEAD_BYTES)
    except ForeignFileError as error:
        raise KernelFileError(error.message, error.hint) from error
    if head.startswith(ELF_MAGIC) and head[4:5] == bytes([ELF_64_BITS]) and len(head) > 20:
        (machine,) = struct.unpack_from("<H", head, 18)
        if machine == EM_X86_64:
            return path
        raise KernelFileError(f"{path}: an ELF file for machine {machine}, expected x86-64 ({EM_X86_64})", "build it")
    if head[BZIMAGE_MAGIC_OFFSET:].startswith(BZIMAGE_MAGIC):
        raise KernelFileError(f"{path}: {BZIMAGE.what}, expected a vmlinux", BZIMAGE.remedy)
    if packed := packed_format(head):
        raise KernelFileError(f"{path}: {packed.what}, expected a vmlinux", packed.remedy)
    raise KernelFileError(
        f"{path}: not a vmlinux: it begins with {head[:4].hex(' ') or 'nothing'}", "name the vmlinux of the build"
    )
