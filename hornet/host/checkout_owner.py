"""What root makes in somebody's checkout is given to them: else they could run nothing without sudo afterwards."""

from __future__ import annotations

import os
import stat
from collections.abc import Collection
from pathlib import Path

from hornet.host.workspace import Workspace
from hornet.installation import IN_CHECKOUT, SOURCE

# Below HORNET_HOME, with all that is in them: what commands without root read and write.
SHARED = ("reports", "logs", "cache/lanes")
# The directory alone: such commands work in directories of their own there, beside root's.
WORK = "run"


def give_to_owner(workspace: Workspace, checkout: Path = SOURCE) -> None:
    """Give root's files in the checkout to its owner, and what is shared of `home` to the owner of that.

    Byte code, caches of tools, reports and logs are what commands without root write. Keys and VMs' state stay root's.
    Nothing is done by anybody but root, or where root is the owner.
    """
    if os.geteuid() != 0:
        return
    if IN_CHECKOUT:
        _give_tree(checkout, checkout.stat(), {checkout / ".git", checkout / ".hornet", workspace.root})
    if workspace.root.is_dir():
        owner = workspace.root.stat()
        for name in SHARED:
            _give_tree(workspace.root / name, owner)
        _give(workspace.root / WORK, owner)


def _give_tree(top: Path, owner: os.stat_result, left_out: Collection[Path] = ()) -> None:
    """Every directory and file below `top`, and `top`. No link is followed."""
    if owner.st_uid == 0 or not top.is_dir():
        return
    for path, directories, files, descriptor in os.fwalk(top):
        directories[:] = [name for name in directories if Path(path, name) not in left_out]
        for name in (".", *directories, *files):
            _give(name, owner, descriptor)


def _give(name: str | Path, owner: os.stat_result, directory: int | None = None) -> None:
    """One that is root's. Not a file with a second name: that one might lie anywhere."""
    try:
        found = os.stat(name, dir_fd=directory, follow_symlinks=False)
        if found.st_uid == 0 and (found.st_nlink == 1 or stat.S_ISDIR(found.st_mode)):
            os.chown(name, owner.st_uid, owner.st_gid, dir_fd=directory, follow_symlinks=False)
    except OSError:
        pass  # not there, or another run's and gone; or on a file system that can't be written
