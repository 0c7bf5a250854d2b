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
PROGRAMS = {
    "refresh": ("refresh.c", "-static"),
    "relay": ("relay.c", "-static"),
    "shared_root": ("shared_root.c", "-static"),
    "getrandom.so": ("getrandom.c", "-shared", "-fPIC"),
}


def install_programs(root: Path) -> list[Path]:
    """Compile the programs of every image into its tree. Returns their paths. Raises CommandError."""
    directory = root / TARGET
    directory.mkdir(parents=True, exist_ok=True)
    return [compile_program(source, directory / name, *kind) for name, (source, *kind) in PROGRAMS.items()]


def compile_program(source: str, output: Path, *kind: str) -> Path:
    """Compile one of the sources. kind: `-static` for a program, `-shared` for a library. Raises CommandError."""
    run(["gcc", *FLAGS, *kind, "-o", output, SOURCES / source], timeout_s=60)
    return output
