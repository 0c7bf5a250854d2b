"""Counts the instructions that an emulated guest executes: a measure of cost that the host's load barely changes.

A plugin in QEMU's TCG (instructions.c) counts into a page that QEMU and this process share, so that a reader neither
stops nor delays the guest.
"""

from __future__ import annotations

import mmap
import os
import struct
from functools import cache
from pathlib import Path

from hornet.errors import VMError
from hornet.host.c_compiler import compile_c
from hornet.spec.lane import Lane

SOURCE = Path(__file__).with_name("instructions.c")
COMPILER = ("gcc", "-shared", "-fPIC", "-O2", "-Wall", "-Wextra", "-Werror", "-s")
# The plugin's path in the jail.
LIBRARY = Path("/hornet/instructions.so")
# One word for each virtual CPU.
WORDS = struct.Struct(f"{mmap.PAGESIZE // 8}Q")


@cache
def library() -> bytes:
    """The plugin, compiled once in this process. Raises CommandError without a C compiler."""
    return compile_c(COMPILER, SOURCE)


class InstructionCounter:
    """The executed guest instructions of one VM, in all and by phase.

    by_phase: instructions between one mark and the one before it, in order. The phases are disjoint and leave no gap.
    """

    def __init__(self) -> None:
        self.fd = os.memfd_create("instructions")
        os.ftruncate(self.fd, mmap.PAGESIZE)
        self._page = mmap.mmap(self.fd, mmap.PAGESIZE, prot=mmap.PROT_READ)
        self.by_phase: dict[str, int] = {}

    @property
    def total(self) -> int:
        """The instructions of all virtual CPUs so far."""
        return int(sum(WORDS.unpack(self._page[:])))

    def mark(self, phase: str) -> None:
        """End a phase now: everything that no earlier phase has belongs to it."""
        self.by_phase[phase] = self.total - sum(self.by_phase.values())

    def close(self) -> None:
        """Release the page. Safe to call twice; by_phase stays readable."""
        if not self._page.closed:
            self._page.close()
            os.close(self.fd)


def count_in(lane: Lane) -> InstructionCounter:
    """A counter for a VM in this lane. Raises VMError if a real processor executes its guests."""
    if lane.accelerator != "tcg":
        raise VMError(f"lane {lane}: guest instructions can't be counted, only in an emulated lane", "use qemu/tcg")
    return InstructionCounter()
