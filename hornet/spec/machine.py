"""The resources of a VM, and the user that its VMM runs as: spec/machine.toml."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from hornet.spec.types import BootArguments, Seconds, Table


class Machine(Table):
    """The resources and timeouts of a VM. Times in seconds, memory in MiB."""

    memory_mib: Annotated[int, Field(ge=32, le=1 << 20)]
    vcpus: Annotated[int, Field(ge=1, le=32)]
    boot_args: BootArguments
    boot_timeout_s: Seconds
    ssh_timeout_s: Seconds


class Vmm(Table):
    """The VMM's process. first_user: the VMM of VM N runs as numeric user and group first_user + N.

    The numbers stay within the range that systemd leaves unassigned.
    """

    first_user: Annotated[int, Field(ge=0x70000000, le=0x7FFF0000)]
