"""The VMs of a command: in the best lane of this host, behind a private network that plays the host."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hornet_cli.context import Settings

if TYPE_CHECKING:
    from hornet.spec.model import Spec
    from hornet.vm.fleet import Fleet

LaneName = Annotated[
    str | None,
    typer.Option(help="firecracker/kvm, qemu/kvm or qemu/tcg (default: the best that works here)."),
]


@contextmanager
def fleet(mine: Settings, kernel: Path, lane: str | None, spec: Spec | None = None) -> Iterator[Fleet]:
    """VMs for one command; all are gone when it ends. spec: in place of the settings' own.

    Raises HostError without root, for an unknown lane, or if no lane works with this kernel.
    """
    from hornet.errors import HostError
    from hornet.host.facts import require_root
    from hornet.network import HostNet
    from hornet.network.ownership import remove_leftovers
    from hornet.spec.lane import LANES
    from hornet.vm.fleet import Fleet
    from hornet.vm.guest import ssh_key
    from hornet.vm.lanes import best_lane, probe_lanes

    require_root()
    remove_leftovers(mine.spec.network)
    used = spec or mine.spec
    if lane is None:
        chosen = best_lane(probe_lanes(mine.workspace, kernel, used))
    else:
        named = {str(known): known for known in LANES}
        if lane not in named:
            raise HostError(f"unknown lane {lane!r}", f"use one of: {', '.join(named)}")
        chosen = named[lane]
    with (
        HostNet.private(used.network, f"hornet-{os.getpid()}-") as net,
        Fleet(used, mine.workspace, chosen, net, ssh_key(mine.workspace)) as vms,
    ):
        yield vms
