"""The protocol that every distribution implements. builders/distros.py lists them."""

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
    """Builds images from a distribution's packages. Each distro's module has one such object: DISTRO."""

    @property
    def as_installed(self) -> bool:
        """Whether a package manager made the tree and will change it. Then equal files stay separate (see Packing)."""

    def fetch_layer(self, spec: Spec, tier: str, toolbox: Toolbox, store: Store, progress: Progress) -> Path:
        """The tier's packages as a layer in the store.

        Raises SpecError for a tier without packages, BuildError if a download fails.
        """

    def versions_file(self, layer: Path) -> Path:
        """The layer's file with its package versions. New versions make a new image."""

    def populate(self, spec: Spec, tier: str, layer: Path, toolbox: Toolbox, root: Path) -> Content:
        """Fill `root` with the tier's files of the layer. The builder's own files are written afterwards."""

    def guest_values(self, values: GuestValues) -> GuestValues:
        """The values for the builder's own files, adapted to this distribution."""

    def file_sets(self, spec: Spec, tier: str) -> dict[str, str]:
        """The distribution's directories below files/, besides `common`, and the component of each."""

    def finish(self, spec: Spec, root: Path) -> None:
        """The last step, after the builder's own files are written. Raises BuildError."""

    def guide_rows(self, spec: Spec, tier: str) -> dict[str, str]:
        """The row of the guide's size table that each component counts for."""
