"""HORNET_HOME: where artifacts, snapshots, reports and run-time state lie (guide: Directory Structure)."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from hornet.errors import HostError
from hornet.files import OTHERS, PRIVATE_DIRECTORY_MODE

CHECKOUT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Home:
    """Paths below HORNET_HOME; each is made when first asked for, and raises HostError where it can't be."""

    root: Path

    @classmethod
    def from_env(cls) -> Home:
        """HORNET_HOME, or .hornet/ in the checkout."""
        # Not Path.resolve(): a circle of links is an error of the directory that is to be made, which names it.
        return cls(Path(os.path.realpath(os.environ.get("HORNET_HOME") or CHECKOUT / ".hornet")))

    def _dir(self, name: str, *, private: bool = False) -> Path:
        """private: nobody but its owner can enter, from the first moment."""
        path = self.root / name
        try:
            path.mkdir(PRIVATE_DIRECTORY_MODE if private else 0o777, parents=True, exist_ok=True)
            if private and path.stat().st_mode & OTHERS:  # made by an older version
                path.chmod(PRIVATE_DIRECTORY_MODE)
        except OSError as error:
            raise HostError(
                f"HORNET_HOME: the directory {path} can't be made: {error.strerror}",
                "set HORNET_HOME to a directory that you may write, with free space, or run the command with sudo",
            ) from error
        return path

    @property
    def images(self) -> Path:
        """Kernels, by their published names."""
        return self._dir("images")

    @property
    def snapshots(self) -> Path:
        """snapshots/<version>/: the bundles."""
        return self._dir("snapshots")

    @property
    def build(self) -> Path:
        """The content-addressed store of built artifacts and their logs."""
        return self._dir("build")

    @property
    def cache(self) -> Path:
        """Downloads, ccache: may be deleted at any time."""
        return self._dir("cache")

    @property
    def reports(self) -> Path:
        """reports/<run>/, and `latest`."""
        return self._dir("reports")

    @property
    def run(self) -> Path:
        """State of what runs now: VM ids, VM directories; nobody else can enter."""
        return self._dir("run", private=True)

    @property
    def keys(self) -> Path:
        """The SSH key pair with which this home's VMs are reached; readable by the owner only."""
        return self._dir("keys", private=True)
