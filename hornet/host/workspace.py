"""HORNET_HOME: the directory of artifacts, snapshots, reports and run-time state (guide: Directory Structure)."""

from __future__ import annotations

import os
import shlex
import stat
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from hornet.errors import HostError
from hornet.host.file_copy import OTHERS, PRIVATE_DIRECTORY_MODE
from hornet.host.owned import MARK, remove_abandoned
from hornet.installation import IN_CHECKOUT, SOURCE

# Temporary files and directories of processes, which hold a lock on them while they live (hornet/host/owned.py).
LEFT_BEHIND = (
    *(f"{place}*{MARK}*" for place in ("run/", "keys/", "build/*/", "cache/*/", "snapshots/", "snapshots/*/")),
    *(f"{place}*{MARK}*" for place in ("images/", "baselines/", "reports/", "reports/*/", "fleets/*/hosts/")),
)


@dataclass(frozen=True)
class Workspace:
    """Paths in HORNET_HOME. Each directory is created on first use; HostError if it cannot be created."""

    root: Path

    @classmethod
    def from_env(cls) -> Workspace:
        """HORNET_HOME; by default .hornet/ in the checkout, or the user's data directory without a checkout."""
        # Not Path.resolve(): a symlink loop is reported when the directory is created, with its name.
        return cls(Path(os.path.realpath(os.environ.get("HORNET_HOME") or _default_root())))

    def directory(self, *parts: str, private: bool = False) -> Path:
        """A directory in HORNET_HOME, created if it is missing.

        private: only its owner can enter, from the first moment. Raises HostError for a directory through which
        somebody else could redirect writes and removals: a symbolic link, another user's directory, a world-writable
        directory. (HORNET_HOME itself may be a link.)
        """
        path = self.root
        try:
            path.mkdir(parents=True, exist_ok=True)
            owner = path.stat().st_uid
            for part in parts:
                path = path / part
                if not os.path.lexists(path):
                    path.mkdir(PRIVATE_DIRECTORY_MODE if private else 0o755, exist_ok=True)
                self._check(path, owner)
            if private and path.stat().st_mode & OTHERS:  # made by an older version
                path.chmod(PRIVATE_DIRECTORY_MODE)
        except OSError as error:
            raise HostError(
                f"HORNET_HOME: the directory {path} cannot be created: {error.strerror}",
                "set HORNET_HOME to a writable directory with free space, or run the command with sudo",
            ) from error
        return path

    def path(self, *parts: str) -> Path:
        """A path in HORNET_HOME that may be missing. Raises HostError, like directory()."""
        path = self.directory(*parts[:-1]) / parts[-1]
        if os.path.lexists(path):
            self._check(path, self.root.stat().st_uid)
        return path

    def _check(self, path: Path, home_owner: int) -> None:
        found = path.lstat()
        if stat.S_ISLNK(found.st_mode):
            raise HostError(
                f"{path}: a symbolic link to {path.readlink()}; HORNET_HOME needs a directory there",
                f"remove the link, or bind-mount its target: mount --bind {path.readlink()} {path}",
            )
        if found.st_uid not in (0, os.geteuid(), home_owner):
            raise HostError(
                f"{path}: belongs to user {found.st_uid}, not to root, to you or to the owner of {self.root}",
                f"if you trust its content: chown -R {home_owner} {path}",
            )
        if not stat.S_ISDIR(found.st_mode):
            raise HostError(f"{path}: not a directory", "move it away: HORNET_HOME has a directory of this name")
        if found.st_mode & stat.S_IWOTH:
            raise HostError(f"{path}: world-writable", f"chmod o-w {path}")

    def remove_abandoned(self) -> None:
        """Remove leftovers of killed processes; anything that a living process owns stays."""
        for pattern in LEFT_BEHIND:
            # An unreadable HORNET_HOME is reported by the command's own access, with a better error.
            with suppress(OSError):
                for path in list(Path(os.path.realpath(self.root)).glob(pattern)):
                    self._remove_abandoned(path)

    @staticmethod
    def _remove_abandoned(path: Path) -> None:
        with suppress(OSError):  # a read-only file system, an unreadable directory
            if os.path.realpath(path.parent) == str(path.parent):  # not through a link to another place
                remove_abandoned(path)

    @property
    def command_line(self) -> str:
        """The words with which a shell runs `hornetos` for this HORNET_HOME, from any directory."""
        home = f"HORNET_HOME={shlex.quote(str(self.root))} " if self.root != _default_root() else ""
        if not IN_CHECKOUT:
            return f"{home}{Path(sys.executable).with_name('hornetos')}"
        if Path(sys.prefix) == self.root / "venv":
            return f"{home}{SOURCE / 'hornetos'}"
        return f"{home}PYTHONPATH={SOURCE} {sys.executable} -m hornet_cli"

    @property
    def images(self) -> Path:
        """Kernels, by their published names."""
        return self.directory("images")

    @property
    def snapshots(self) -> Path:
        """snapshots/<version>/: the bundles."""
        return self.directory("snapshots")

    @property
    def build(self) -> Path:
        """The content-addressed store of built artifacts and their logs."""
        return self.directory("build")

    @property
    def cache(self) -> Path:
        """Downloads, ccache: may be deleted at any time."""
        return self.directory("cache")

    @property
    def reports(self) -> Path:
        """reports/<run>/, and `latest`."""
        return self.directory("reports")

    @property
    def baselines(self) -> Path:
        """baselines/<name>/: runs that others are compared with."""
        return self.directory("baselines")

    @property
    def fleets(self) -> Path:
        """fleets/<fleet>/: runs that came back from the hosts of a fleet."""
        return self.directory("fleets")

    @property
    def run(self) -> Path:
        """State of running VMs: ids, directories; only the owner can enter."""
        return self.directory("run", private=True)

    @property
    def keys(self) -> Path:
        """The SSH key pair for the VMs of this HORNET_HOME; only the owner can read it."""
        return self.directory("keys", private=True)


def _default_root() -> Path:
    if IN_CHECKOUT:
        return SOURCE / ".hornet"
    # XDG Base Directory Specification.
    data = Path(os.environ.get("XDG_DATA_HOME") or "~/.local/share").expanduser()
    return data / "hornetos"
