"""Compiles the project's own programs, without a C library, so that they run in any image."""

from __future__ import annotations

from pathlib import Path

from hornet.host.proc import run

SOURCES = Path(__file__).with_name("native")
TARGET = "usr/lib/hornetos"
# Nothing from the host is linked: no build id, no start files, no library.
FLAGS = [
    *("-Os", "-Wall", "-Werror", "-ffreestanding", "-nostdlib", "-fno-stack-protector", "-fcf-protection=none"),
    *("-fno-asynchronous-unwind-tables", "-Wl,--build-id=none", "-Wl,-z,noseparate-code", "-s"),
]
PROGRAMS = {"refresh": ("refresh.c", "-static"), "getrandom.so": ("getrandom.c", "-shared", "-fPIC")}


def install_programs(root: Path) -> int:
    """Compile all programs into an image tree. Returns their total size in bytes. Raises CommandError."""
    directory = root / TARGET
    directory.mkdir(parents=True, exist_ok=True)
    for name, (source, *kind) in PROGRAMS.items():
        run(["gcc", *FLAGS, *kind, "-o", directory / name, SOURCES / source], timeout_s=60)
    return sum((directory / name).stat().st_size for name in PROGRAMS)
