"""The place of trials: whatever is left there afterwards was left by the procedures."""

from __future__ import annotations

import os
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from hornet.host.owned import MARK
from hornet.host.progress import Progress
from hornet.host.workspace import Workspace
from hornet.network import HostNet
from hornet.network.ids import vms_directory
from hornet.network.ownership import take_inventory
from hornet.snapshot import Bundle
from hornet.snapshot.manifest import MANIFEST_FILE
from hornet.spec.model import Spec
from hornet.vm.fleet import VM, Fleet

TIMEOUT_S = 60
# What a change writes: into memory, and on the disk unless the root file system is read-only. There in a directory that
# nothing else writes: a guest on the wrong disk would write back what it remembers of the directory, and hide the file.
WORD_FILES = ("/run/hornetos-change", "/var/lib/hornetos-change")


@dataclass(frozen=True)
class TrialPlace:
    """subject: the snapshot. fleet: VMs whose home and network belong to the trials; unsealed: the same, but without
    a check of seals."""

    subject: Bundle
    fleet: Fleet
    unsealed: Fleet
    net: HostNet
    progress: Progress

    @property
    def home(self) -> Workspace:
        """The home of the trials."""
        return self.fleet.workspace


class FileStat(NamedTuple):
    """What changes when a file is written, replaced, or linked to."""

    inode: int
    size_bytes: int
    modified_ns: int
    changed_ns: int


def stats(bundle: Bundle) -> dict[str, FileStat]:
    """The stat of each file of a snapshot, by name."""
    found = {}
    for path in (*bundle.files, bundle.directory / MANIFEST_FILE):
        seen = path.stat()
        found[path.name] = FileStat(seen.st_ino, seen.st_size, seen.st_mtime_ns, seen.st_ctime_ns)
    return found


def trial_spec(spec: Spec, tier: str) -> Spec:
    """The spec with what a trial of slimming needs: the guide's tools that the tier has, and no other uses."""
    tools = [name for name in spec.slim.tools if name in spec.tools_of(tier)]
    return spec.model_copy(update={"slim": spec.slim.model_copy(update={"tools": tools, "uses": {}})})


def words_in(vm: VM) -> list[str]:
    """The words that changes wrote into a VM, one for each file that has one."""
    script = "".join(f"test ! -e {shlex.quote(path)} || cat {shlex.quote(path)}\n" for path in WORD_FILES)
    return vm.guest.run(script, TIMEOUT_S).stdout.split()


def remaining(place: TrialPlace) -> dict[str, Sequence[str]]:
    """What is left on the host and in the home once the fleets are closed, by kind. Published snapshots don't count."""
    home = place.home
    unfinished = [*home.run.glob(f"*{MARK}*"), *home.snapshots.glob(f".*{MARK}*")]
    return {
        "VM directories": sorted(os.listdir(vms_directory(home))),
        "namespaces": [f"vm{vm_id}" for vm_id in take_inventory(place.net).vm_ids],
        "unfinished work": [_relative(path, home) for path in unfinished],
    }


def _relative(path: Path, home: Workspace) -> str:
    return str(path.relative_to(home.root))
