"""Choose the snapshot that production uses (guide: SOP 3), an older or a newer one, with one atomic rename."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from hornet.host.progress import Progress
from hornet.host.workspace import Workspace
from hornet.snapshot import Bundle, open_bundle, production, switch_production
from hornet.spec.snapshots import SnapshotFiles
from hornet.vm.state import VMState, running_vms


@dataclass(frozen=True)
class Rollback:
    """A completed switch: production uses `now` and used `before`, which is None if it used nothing.

    others: the VMs, by name, that still run another version. They keep running.
    """

    before: Path | None
    now: Bundle
    others: Mapping[str, VMState]


def roll_back(workspace: Workspace, names: SnapshotFiles, version: str, progress: Progress) -> Rollback:
    """Check every byte of a version below HORNET_HOME/snapshots, then switch production to it.

    Raises SnapshotError for an unknown version, BrokenSnapshotError if its seal is broken or missing. After an error
    production is unchanged.
    """
    bundle = open_bundle(workspace.path("snapshots", Path(version).name), names)
    with progress.step("rollback", f"checking every byte of {bundle.directory.name}"):
        bundle.check_full(progress)
    before, running = production(workspace, names), running_vms(workspace)
    switch_production(workspace, bundle)
    others = {name: state for name, state in running.items() if state.snapshot != str(bundle.directory)}
    return Rollback(before, bundle, others)
