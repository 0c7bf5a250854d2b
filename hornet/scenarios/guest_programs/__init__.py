"""Small programs that test features of a guest's kernel that no shell tool in an image can: see each .c file.

They are compiled on the host, without a C library, and copied into the guest with the probes.
"""

from __future__ import annotations

from pathlib import Path

from hornet.host.c_compiler import compile_c

SOURCES = Path(__file__).parent
COMPILER = (
    *("gcc", "-Os", "-Wall", "-Wextra", "-Werror", "-static", "-nostdlib", "-ffreestanding"),
    *("-fno-stack-protector", "-fno-asynchronous-unwind-tables", "-Wl,--build-id=none,-z,norelro", "-s"),
)


def compile_programs() -> dict[str, bytes]:
    """Every program by name, as an ELF file. Raises CommandError without a C compiler."""
    return {source.stem: compile_c(COMPILER, source) for source in sorted(SOURCES.glob("*.c"))}
