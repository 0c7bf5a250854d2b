"""The directory that Firecracker may write in: it belongs to its user, and nothing in it is trusted.

What root reads by name is never there alone. Disk, log and metrics have a second name in the VM's own directory, which
belongs to root, so that a compromised Firecracker can't put a link in their place.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import BinaryIO

from hornet.errors import VMError
from hornet.host.file_copy import PRIVATE_DIRECTORY_MODE, PRIVATE_MODE, clone_file, copy_into, open_private
from hornet.vmm.driver import MachineConfig

# Its owner is root, who writes; its group is that of every Firecracker, which reads.
MEMORY_MODE = PRIVATE_MODE | stat.S_IRGRP


class WorkDirectory:
    """Firecracker's working directory, in the VM's directory."""

    def __init__(self, config: MachineConfig, path: Path) -> None:
        """Create it, with the VM's disk in it, unless that is shared. Raises OSError."""
        self.path = path
        self._config = config
        self.path.mkdir(parents=True)
        self.path.chmod(PRIVATE_DIRECTORY_MODE)
        self.give(self.path)
        if not config.shares_root:
            self.lend(config.disk)

    def give(self, path: Path) -> None:
        """Make Firecracker's user the owner of a file in it. Raises OSError."""
        os.chown(path, self._config.user, self._config.user, follow_symlinks=False)

    def lend(self, path: Path) -> None:
        """Let Firecracker write a file of the VM's directory. Raises OSError."""
        self.give(path)
        link = self.path / path.name
        link.unlink(missing_ok=True)
        link.hardlink_to(path)

    def lend_empty(self, name: str) -> None:
        """Let Firecracker write a new file, which root reads in the VM's directory. Raises OSError."""
        open_private(self._config.directory / name, "ab").close()
        self.lend(self._config.directory / name)

    def copy_in(self, source: BinaryIO, name: str) -> None:
        """Give Firecracker a copy of a file. Raises OSError."""
        with open_private(self.path / name, "xb") as target:
            copy_into(source, target)
        self.give(self.path / name)

    def take_out(self, name: str, target: Path) -> None:
        """Move a file that Firecracker wrote; root owns it afterwards. Raises OSError, VMError if it is not regular."""
        # First out of Firecracker's reach, then looked at.
        moved = self._config.directory / name
        (self.path / name).rename(moved)
        if not stat.S_ISREG(moved.lstat().st_mode):
            moved.unlink()
            raise VMError(f"VM {self._config.name}: {name}, written by Firecracker, is not a regular file")
        os.chown(moved, os.geteuid(), os.getegid(), follow_symlinks=False)
        if moved.stat().st_dev == target.parent.stat().st_dev:
            moved.rename(target)
        else:
            # With its holes: those of a diff snapshot's memory mean pages that were not written.
            clone_file(moved, target)
            moved.unlink()


def share_memory(path: Path, group: int) -> None:
    """Let every Firecracker read a snapshot's memory; without the same file clones share no pages.

    Raises VMError if the file's group can't be changed.
    """
    found = path.stat()
    if found.st_mode & stat.S_IROTH or (found.st_gid == group and found.st_mode & stat.S_IRGRP):
        return
    try:
        os.chown(path, -1, group)
        path.chmod(MEMORY_MODE)
    except OSError as error:
        raise VMError(
            f"{path}: Firecracker's user can't read it, and its group can't be changed: {error.strerror}",
            f"make it readable: chgrp {group} {path}; chmod g+r {path}",
        ) from error
