"""What killed processes have left below HORNET_HOME, removed by the next one that starts."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

import psutil

from hornet.errors import VMError
from hornet.foreign_file import ForeignFileError
from hornet.host.owned import remove_abandoned
from hornet.host.workspace import Workspace
from hornet.vm.state import STATE_FILE, read_state

# vm.json is written a moment after its VMM was started; psutil rounds to a hundredth of a second.
CLOCK_ROUNDING_S = 1.0


def remove_leftovers(workspace: Workspace) -> None:
    """Remove unfinished things and VM directories whose owners are dead; what belongs to a living process stays."""
    workspace.remove_abandoned()
    vms = Path(os.path.realpath(workspace.root), "run", "vms")
    # A home that can't be read is named by what the command wants of it.
    with suppress(OSError):
        if os.path.realpath(vms) != str(vms):  # a link to another place
            return
        for directory in list(vms.glob("*")):
            if not vmm_runs(directory):
                remove_abandoned(directory)


def vmm_runs(directory: Path) -> bool:
    """Whether the VMM that vm.json names runs; not another process that has its id by now."""
    try:
        path = directory / STATE_FILE
        started_s = psutil.Process(read_state(path).pid).create_time()
        return started_s <= path.stat().st_mtime + CLOCK_ROUNDING_S
    except (OSError, VMError, ForeignFileError, psutil.Error):
        return False
