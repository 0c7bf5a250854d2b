"""What a distribution does for an image: one protocol for all; builders/distros.py lists them."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from builders.rootfs.content import Content
from builders.rootfs.guest_files import GuestValues
from builders.rootfs.toolbox import Toolbox
from hornet.host.artifact_store import Store
from hornet.host.progress import Progress
from hornet.spec.model import Spec


class Distro(Protocol):
    """How images are made from a distribution's packages. Each distro's module has one object of it: DISTRO."""

    @property
    def as_installed(self) -> bool:
        """Whether a package manager made the tree and will change it: then equal files stay apart (see Packing)."""

    def fetch_layer(self, spec: Spec, tier: str, toolbox: Toolbox, store: Store, progress: Progress) -> Path:
        """The tier's packages as a layer in the store.

        Raises SpecError for a tier that it has no packages for, BuildError for what can't be fetched.
        """

    def versions_file(self, layer: Path) -> Path:
        """The file of the layer that says which versions it holds: new versions make a new image."""

    def populate(self, spec: Spec, tier: str, layer: Path, toolbox: Toolbox, root: Path) -> Content:
        """Fill `root` with the tier's files of the layer; the builder's own files come afterwards."""

    def guest_values(self, values: GuestValues) -> GuestValues:
        """The values of the builder's own files, changed where this distribution differs."""

    def file_sets(self, spec: Spec, tier: str) -> dict[str, str]:
        """The directories below files/ that belong to it, beside `common`: the component that each counts for."""

    def finish(self, spec: Spec, root: Path) -> None:
        """What is left to do when the builder's own files are there. Raises BuildError."""

    def guide_rows(self, spec: Spec, tier: str) -> dict[str, str]:
        """The row of the guide's size table that each component counts for."""
