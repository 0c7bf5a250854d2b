"""What commands that run VMs share: the fleet with its network, its lane, and how a snapshot is named."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hornet.errors import SnapshotError
from hornet.spec.lane import Lane
from hornet.vmm.registry import LANES_HELP
from hornet_cli.context import Settings

if TYPE_CHECKING:
    from hornet.spec.model import Spec
    from hornet.vm.fleet import Fleet

LaneName = Annotated[
    str | None,
    typer.Option(help=f"{LANES_HELP} (default: the best that works here)."),
]
HostNetwork = Annotated[
    bool,
    typer.Option("--host-network", help="Use the machine's own network, with the guide's names, not a private one."),
]
NoSeal = Annotated[
    bool, typer.Option("--no-seal", help="Restore without checking the seal: against the golden rule, for experiments.")
]
SnapshotName = Annotated[str, typer.Argument(help="A version below HORNET_HOME/snapshots, or a directory.")]


@contextmanager
def fleet(
    mine: Settings,
    lane: Lane,
    *,
    spec: Spec | None = None,
    host_network: bool = False,
    check_seals: bool = True,
    count_instructions: bool = False,
) -> Iterator[Fleet]:
    """VMs for one command; they and their network are gone when it ends. spec: in place of the settings' own.

    count_instructions: of each guest (see Fleet). Raises HostError without root.
    """
    from hornet.network.ownership import host_of_this_run
    from hornet.snapshot.bundle import UNSEALED_WARNING
    from hornet.vm.fleet import Fleet
    from hornet.vm.guest import ssh_key

    used = spec or mine.spec
    with (
        host_of_this_run(used.network, private=not host_network) as net,
        Fleet(
            used,
            mine.workspace,
            lane,
            net,
            ssh_key(mine.workspace),
            check_seals=check_seals,
            count_instructions=count_instructions,
        ) as vms,
    ):
        if not check_seals:
            print(UNSEALED_WARNING, file=sys.stderr)
        yield vms


def choose_lane(mine: Settings, kernel: Path, name: str | None) -> Lane:
    """The named lane if it works with this kernel, or the best one that does. Raises HostError."""
    from hornet.host.facts import require_root
    from hornet.vm.lanes import best_lane, probe_lanes, require_lane

    require_root()
    if name:
        return require_lane(mine.workspace, kernel, mine.spec, name)
    return best_lane(probe_lanes(mine.workspace, kernel, mine.spec))


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
