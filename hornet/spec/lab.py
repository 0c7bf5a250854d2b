"""The lab, an emulated host with KVM: spec/lab.toml."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from hornet.spec.types import Package, Seconds, Table

# A module of the Linux kernel.
Module = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]*$", max_length=60)]


class Lab(Table):
    """The emulated host. Times in seconds, memory in MiB.

    packages: Debian packages that hold its kernel, BusyBox, QEMU and virtiofsd. cpu: QEMU's CPU model, with SVM.
    patience: on a host with an emulated processor, a factor of every time that the suite waits for a guest.
    """

    packages: Annotated[list[Package], Field(min_length=1)]
    modules: list[Module]
    cpu: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.,=+-]+$", max_length=500)]
    cpus: Annotated[int, Field(ge=1, le=64)]
    memory_mib: Annotated[int, Field(ge=1024, le=1 << 20)]
    ready_timeout_s: Seconds
    time_limit_s: Seconds
    patience: Annotated[float, Field(ge=1, le=100)]
