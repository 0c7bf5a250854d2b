"""Gives files that root created in a checkout to its owner, who could run nothing without sudo otherwise."""

from __future__ import annotations

import os
import stat
from collections.abc import Collection
from pathlib import Path

from hornet.host.workspace import Workspace
from hornet.installation import IN_CHECKOUT, SOURCE

# Directories of HORNET_HOME, with their content, that commands without root read and write.
SHARED = ("reports", "logs", "cache/lanes")
# Only the directory itself: such commands create their own directories in it, beside root's.
WORK = "run"


def give_to_owner(workspace: Workspace, checkout: Path = SOURCE) -> None:
    """Give root's files in the checkout to its owner, and shared directories of HORNET_HOME to the owner of that.

    Commands without root write byte code, caches of tools, reports and logs. Keys and the state of VMs stay with root.
    Does nothing unless root calls it, or if root is the owner.
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
    """Give away `top` and every directory and file below it. Links are not followed."""
    if owner.st_uid == 0 or not top.is_dir():
        return
    for path, directories, files, descriptor in os.fwalk(top):
        directories[:] = [name for name in directories if Path(path, name) not in left_out]
        for name in (".", *directories, *files):
            _give(name, owner, descriptor)


def _give(name: str | Path, owner: os.stat_result, directory: int | None = None) -> None:
    """Give away one file or directory of root. A file with a second name is skipped: that name may be anywhere."""
    try:
        found = os.stat(name, dir_fd=directory, follow_symlinks=False)
        if found.st_uid == 0 and (found.st_nlink == 1 or stat.S_ISDIR(found.st_mode)):
            os.chown(name, owner.st_uid, owner.st_gid, dir_fd=directory, follow_symlinks=False)
    except OSError:
        pass  # missing, removed by another run, or on a read-only file system
