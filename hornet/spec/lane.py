"""A lane: the VMM and the accelerator that a result comes from. hornet/vmm/registry.py lists all lanes."""

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
        """Whether times and densities are judged in this lane on a real processor. Others only record them."""
        return self.accelerator == "kvm"
