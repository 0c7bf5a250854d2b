"""A lane: which VMM with which accelerator a result comes from. hornet/vmm/registry.py lists the known ones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Accelerator = Literal["kvm", "tcg"]


@dataclass(frozen=True)
class Lane:
    """(vmm, accelerator), printed as in `qemu/tcg`."""

    vmm: str
    accelerator: Accelerator

    def __str__(self) -> str:
        return f"{self.vmm}/{self.accelerator}"

    @property
    def judges_time(self) -> bool:
        """Whether times and densities are verdicts here: emulated ones are recorded, never judged."""
        return self.accelerator == "kvm"
