"""What commands that run VMs share: a fleet with its network, and how a snapshot is named."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hornet.errors import SnapshotError
from hornet.spec.lane import Lane
from hornet_cli.context import Settings

if TYPE_CHECKING:
    from hornet.vm.fleet import Fleet

HostNetwork = Annotated[
    bool,
    typer.Option("--host-network", help="Use the machine's own network, with the guide's names, not a private one."),
]
NoSeal = Annotated[
    bool, typer.Option("--no-seal", help="Restore without checking the seal: against the golden rule, for experiments.")
]


@contextmanager
def running_fleet(mine: Settings, lane: Lane, *, host_network: bool, no_seal: bool = False) -> Iterator[Fleet]:
    """A fleet that is gone, with all its VMs and its network, when the block ends."""
    from hornet.host.facts import require_root
    from hornet.network import HostNet
    from hornet.network.ownership import remove_leftovers
    from hornet.snapshot.bundle import UNSEALED_WARNING
    from hornet.vm.fleet import Fleet
    from hornet.vm.guest import ssh_key

    require_root()
    if no_seal:
        print(UNSEALED_WARNING, file=sys.stderr)
    network = mine.spec.network
    remove_leftovers(network)
    net = HostNet.machine(network) if host_network else HostNet.private(network, f"hornet-{os.getpid()}-")
    with net, Fleet(mine.spec, mine.workspace, lane, net, ssh_key(mine.workspace), check_seals=not no_seal) as fleet:
        yield fleet


def snapshot_directory(mine: Settings, name: str) -> Path:
    """The directory of a snapshot given by its version or by its path. Raises SnapshotError if there is none."""
    from hornet.snapshot.manifest import MANIFEST_FILE

    version = mine.workspace.snapshots / name
    if "/" not in name and name != mine.spec.snapshot.production_link:
        mine.workspace.path("snapshots", name)  # no link to another place
    found = version if version.is_dir() else Path(name)
    if not found.is_dir():
        known = ", ".join(sorted(path.parent.name for path in mine.workspace.snapshots.glob(f"[!.]*/{MANIFEST_FILE}")))
        raise SnapshotError(f"{name}: no such snapshot", f"name a directory, or one of: {known or 'none here yet'}")
    return found
