"""A lane: which VMM with which accelerator a result comes from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from hornet.errors import HostError

Vmm = Literal["firecracker", "qemu"]
Accelerator = Literal["kvm", "tcg"]


@dataclass(frozen=True)
class Lane:
    """(vmm, accelerator), printed as in `qemu/tcg`."""

    vmm: Vmm
    accelerator: Accelerator

    def __str__(self) -> str:
        return f"{self.vmm}/{self.accelerator}"

    @property
    def judges_time(self) -> bool:
        """Whether times and densities are verdicts here: emulated ones are recorded, never judged."""
        return self.accelerator == "kvm"


FIRECRACKER_KVM = Lane("firecracker", "kvm")
QEMU_KVM = Lane("qemu", "kvm")
QEMU_TCG = Lane("qemu", "tcg")
LANES = (FIRECRACKER_KVM, QEMU_KVM, QEMU_TCG)


def lane_named(name: str) -> Lane:
    """The lane of that name. Raises HostError for an unknown one."""
    found = next((lane for lane in LANES if str(lane) == name), None)
    if found is None:
        raise HostError(f"unknown lane {name!r}", f"use one of: {', '.join(map(str, LANES))}")
    return found
