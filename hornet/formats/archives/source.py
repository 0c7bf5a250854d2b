"""What `--image` names: an ext4 file, or with a prefix an OCI image layout, a tar or a directory."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path


class Kind(StrEnum):
    """The kinds of images; all but ext4 are written as a prefix, as in `oci:DIR`."""

    EXT4 = "ext4"
    OCI = "oci"
    TAR = "tar"
    DIRECTORY = "dir"


TITLES = {
    Kind.EXT4: "an ext4 file",
    Kind.OCI: "an OCI image",
    Kind.TAR: "a tar",
    Kind.DIRECTORY: "a directory",
}


@dataclass(frozen=True)
class ImageSource:
    """An image and where it is."""

    kind: Kind
    path: Path

    def __str__(self) -> str:
        return str(self.path) if self.kind is Kind.EXT4 else f"{self.kind}:{self.path}"

    @property
    def boots(self) -> bool:
        """Whether a VM can have it as its disk. Anything else is judged by its files alone."""
        return self.kind is Kind.EXT4

    @property
    def why_not_judged(self) -> str:
        """The reason for a check that needs an ext4 file or a VM."""
        return (
            f"not judged: {self} is {TITLES[self.kind]}, which is judged by its files alone; "
            "this needs an ext4 file (mkfs.ext4 -d DIRECTORY rootfs.ext4 SIZE)"
        )

    def resolved(self) -> ImageSource:
        """The same with an absolute path."""
        return ImageSource(self.kind, self.path.resolve())


def parse_source(text: str) -> ImageSource:
    """The image that the value of --image names. A file whose name has such a prefix is written as `./oci:x`."""
    prefix, colon, path = text.partition(":")
    for kind in (Kind.OCI, Kind.TAR, Kind.DIRECTORY):
        if colon and prefix == kind:
            return ImageSource(kind, Path(path))
    return ImageSource(Kind.EXT4, Path(text))
