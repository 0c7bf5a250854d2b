"""What killed processes have left below HORNET_HOME, removed by the next one that starts."""

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
    """Remove unfinished things and VM directories whose owners are dead; what belongs to a living process stays."""
    workspace.remove_abandoned()
    vms = Path(os.path.realpath(workspace.root), "run", "vms")
    # A home that can't be read is named by what the command wants of it.
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
