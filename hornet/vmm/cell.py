"""A cell: what one Firecracker sees of its own, in the jail that all of a process share (jail.py).

Firecracker is a static program that opens its files by path, so they must have paths in the jail. It may write in one
directory only, its working directory. All other files are read-only, and the directory that holds them is root's.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from pathlib import Path

from hornet.vmm.jail import ROOT, build_jail, hide, show

DEVICES = [Path("/dev", name) for name in ("kvm", "net/tun", "userfaultfd")]
CELLS = Path("/vms")
WORK = "work"

_numbers = itertools.count()


class Cell:
    """One VMM's cell. Made and closed on the thread that starts VMMs, whose mount namespace holds it."""

    def __init__(self, work: Path, files: Mapping[str, Path]) -> None:
        """work: the directory that the VMM may write in; files: what it may read, by name. Raises HostError."""
        self._inside = CELLS / str(next(_numbers))
        self._mounted: list[Path] = []
        self._outside.mkdir()
        self._outside.chmod(0o711)
        for name, source in {WORK: work, **files}.items():
            target = self._outside / name
            target.mkdir() if name == WORK else target.touch()
            show(source, target, writable=name == WORK)
            self._mounted.append(target)

    @property
    def _outside(self) -> Path:
        return ROOT / self._inside.relative_to("/")

    @property
    def entered_by(self) -> list[str]:
        """The command that moves a program into the cell.

        Not nsenter(1): from util-linux 2.41 on it changes the root of no process that enters no namespace.
        """
        return ["unshare", f"--root={ROOT}", f"--wd={self._inside / WORK}", "--"]

    def path(self, name: str) -> str:
        """The path of a file as the VMM sees it."""
        return str(self._inside / name)

    def mapped_path(self, name: str) -> Path:
        """The path of a file as /proc/PID/smaps shows it."""
        return self._outside / name

    def close(self) -> None:
        """Hide everything again."""
        for target in self._mounted:
            hide(target)
            target.rmdir() if target.name == WORK else target.unlink()
        self._outside.rmdir()


def prepare_cells() -> None:
    """Build the jail that cells are in, for the calling thread. Raises HostError."""
    build_jail(DEVICES, CELLS)
