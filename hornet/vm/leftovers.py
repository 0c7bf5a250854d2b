"""Removes what killed processes left in HORNET_HOME, at the next start."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from hornet.errors import VMError
from hornet.foreign_file import ForeignFileError
from hornet.host.owned import remove_abandoned
from hornet.host.workspace import Workspace
from hornet.vm.state import STATE_FILE, read_state, vmm_runs


def remove_leftovers(workspace: Workspace) -> None:
    """Remove unfinished work and VM directories whose owners are dead; a living process keeps its own."""
    workspace.remove_abandoned()
    vms = Path(os.path.realpath(workspace.root), "run", "vms")
    # An unreadable HORNET_HOME is reported by the command's own access, with a better error.
    with suppress(OSError):
        if os.path.realpath(vms) != str(vms):  # a link to another place
            return
        for directory in list(vms.glob("*")):
            if not _vmm_runs(directory):
                remove_abandoned(directory)


def _vmm_runs(directory: Path) -> bool:
    path = directory / STATE_FILE
    try:
        return vmm_runs(path, read_state(path))
    except (OSError, VMError, ForeignFileError):
        return False
