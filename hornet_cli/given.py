"""What `hornetos run` judges if not what this suite builds: a snapshot, or an image made elsewhere."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from hornet.formats.archives.source import ImageSource, parse_source

DEFAULT_TIER = "standard"

SnapshotOption = Annotated[
    Path | None, typer.Option(exists=True, file_okay=False, help="Judge this snapshot instead of building one.")
]


def image_source(text: str) -> ImageSource:
    """The value of --image. Raises BadParameter if it is not there."""
    source = parse_source(text)
    if not source.path.exists():
        raise typer.BadParameter(f"{source.path}: no such file or directory")
    if source.boots and source.path.is_dir():
        raise typer.BadParameter(f"{source.path}: a directory: write dir:{source.path}, or oci:{source.path}")
    return source


ImageOption = Annotated[
    ImageSource | None,
    typer.Option(
        parser=image_source,
        metavar="FILE|oci:DIR|tar:FILE|dir:DIR",
        help="Judge this root file system instead of building one: an ext4 file; or, by its files only, an OCI image "
        "layout, a tar or a directory.",
    ),
]
KernelOption = Annotated[
    Path | None, typer.Option(exists=True, dir_okay=False, help="The vmlinux to judge, of --snapshot or with --image.")
]
SshKeyOption = Annotated[
    Path | None,
    typer.Option(exists=True, dir_okay=False, help="The private key for root of a guest that was made elsewhere."),
]


@dataclass(frozen=True)
class Given:
    """Paths of what is judged; None for what the suite builds."""

    snapshot: Path | None = None
    image: ImageSource | None = None
    kernel: Path | None = None
    ssh_key: Path | None = None

    @property
    def complete(self) -> bool:
        """Whether no image has to be built."""
        return bool(self.snapshot or self.image)

    def arguments(self) -> list[str]:
        """The options of pytest."""
        paths = {"snapshot": self.snapshot, "kernel": self.kernel, "ssh-key": self.ssh_key}
        image = [f"--image={self.image.resolved()}"] if self.image else []
        return [*image, *(f"--{name}={path.resolve()}" for name, path in paths.items() if path)]

    def tier(self, wanted: str | None) -> str:
        """The tier to judge by: `wanted`, else the one in the snapshot's manifest, else the default."""
        from hornet.snapshot import Manifest

        claimed = Manifest.read(self.snapshot).origin.tier if self.snapshot and not wanted else None
        return wanted or claimed or DEFAULT_TIER
