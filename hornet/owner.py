"""What root makes in somebody's checkout is given to them: else they could run nothing without sudo afterwards."""

from __future__ import annotations

import os
from collections.abc import Collection
from pathlib import Path

from hornet.home import CHECKOUT, Home


def give_to_owner(home: Home, checkout: Path = CHECKOUT) -> None:
    """Give root's files in the checkout, and the reports in `home`, to the owner of the directory that they lie in.

    Byte code, caches of tools and reports are what commands without root write. Keys and VMs' state stay root's.
    Nothing is done by anybody but root, or where root is the owner.
    """
    if os.geteuid() != 0:
        return
    _give(checkout, checkout, {checkout / ".git", checkout / ".hornet", home.root})
    _give(home.root / "reports", home.root)


def _give(top: Path, owned: Path, left_out: Collection[Path] = ()) -> None:
    """Give every directory and file of root's below `top` to the owner of `owned`.

    No link is followed, and no file is given that has a second name: that one might lie anywhere.
    """
    try:
        owner = owned.stat()
    except OSError:
        return  # there is no such directory, and so nothing in it
    if owner.st_uid == 0:
        return
    for path, directories, files, descriptor in os.fwalk(top):
        directories[:] = [name for name in directories if Path(path, name) not in left_out]
        for name in (".", *directories, *files):
            try:
                found = os.stat(name, dir_fd=descriptor, follow_symlinks=False)
                if found.st_uid == 0 and (found.st_nlink == 1 or name not in files):
                    os.chown(name, owner.st_uid, owner.st_gid, dir_fd=descriptor, follow_symlinks=False)
            except OSError:
                continue  # another run's, and gone; or on a file system that can't be written
