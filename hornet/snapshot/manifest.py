"""The manifest, which binds the three files of a snapshot to each other and to their origin."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from hornet.errors import BrokenSnapshotError, SnapshotError
from hornet.foreign_file import ForeignFileError, MissingFileError, first_problem, parse_json, read_bytes
from hornet.formats.ext4.superblock import SIZE_BYTES as SUPERBLOCK_BYTES
from hornet.host.durable import write_file
from hornet.host.file_copy import PRIVATE_MODE
from hornet.spec.tiers import Root

MANIFEST_FILE = "manifest.json"
# A manifest has some 4 KiB.
MAX_MANIFEST_BYTES = 64 << 10
# A manifest of another format is refused: missing values would have to be guessed.
FORMAT: Final = 2

REPLACE = "restore the manifest from a copy, or take a new snapshot"

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class FileSeal(Table):
    """One file's content: apparent size in bytes and SHA-256 in hex."""

    size_bytes: Annotated[int, Field(ge=0)]
    sha256: Sha256


class Origin(Table):
    """The origin of a snapshot. A restore needs the same VMM, and under KVM the same CPU.

    kernel_sha256: of the booted vmlinux. ssh_public_blob: the key that the guest accepts.
    parent: the manifest hash of the snapshot from which this one's VM was restored.
    adopted: made elsewhere and sealed later (hornetos adopt). None values are unknown, and earlier changes of the files
    cannot be detected.
    frozen: all processes of the guest are frozen until it is refreshed (see hornet/vm/restore_agent.py).
    snapshot_format: the version of the VMM's format; None if each version of the VMM has its own, or if unknown.
    host_kernel, microcode: of the host, for people who search for a cause; "" if unknown.
    memory_hotplug_mib: memory that can be plugged in, which the memory file holds too.
    root: what a clone has as its root file system: a private copy of rootfs.ext4, or that file itself.
    """

    lane: str
    vmm_version: str
    cpu_model: str
    cpu_features_sha256: str
    memory_mib: Annotated[int, Field(ge=1)]
    vcpus: Annotated[int, Field(ge=1)]
    kernel_sha256: Sha256 | None
    kernel_release: str | None
    tier: str
    spec_sha256: str
    ssh_public_blob: str | None
    parent: str | None
    adopted: bool
    frozen: bool = False
    snapshot_format: str | None = None
    host_kernel: str = ""
    microcode: str = ""
    memory_hotplug_mib: Annotated[int, Field(ge=0)] = 0
    root: Root = "disk"


class Manifest(Table):
    """The content of manifest.json. superblock: of the root file system, in hex.

    bill: of the bill of materials of image and kernel; None if the snapshot has none.

    self_sha256: over all other fields. A manifest that was edited by hand does not match it.
    """

    format: Literal[2]
    version: str
    created: str
    origin: Origin
    files: dict[str, FileSeal]
    bill: FileSeal | None = None
    superblock: Annotated[str, Field(pattern=rf"^[0-9a-f]{{{2 * SUPERBLOCK_BYTES}}}$")]
    self_sha256: str

    @classmethod
    def create(
        cls,
        *,
        version: str,
        created: str,
        origin: Origin,
        files: dict[str, FileSeal],
        superblock: bytes,
        bill: FileSeal | None = None,
    ) -> Manifest:
        """A manifest with its own hash."""
        bare = cls(
            format=FORMAT,
            version=version,
            created=created,
            origin=origin,
            files=files,
            superblock=superblock.hex(),
            self_sha256="",
            **({"bill": bill} if bill else {}),
        )
        return bare.model_copy(update={"self_sha256": bare.content_sha256()})

    def content_sha256(self) -> str:
        """SHA-256 over every field of the file but self_sha256, as canonical JSON."""
        # A field that is newer than the file is not in it.
        data = self.model_dump(exclude={"self_sha256"}, exclude_unset=True)
        return hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()

    def write(self, directory: Path) -> None:
        """Write manifest.json durably; only its owner can read it."""
        write_file(
            directory / MANIFEST_FILE,
            json.dumps(self.model_dump(mode="json", exclude_unset=True), indent=2) + "\n",
            PRIVATE_MODE,
        )

    @classmethod
    def read(cls, directory: Path) -> Manifest:
        """Read manifest.json.

        Raises BrokenSnapshotError if it is missing or was edited, SnapshotError if it is malformed or cannot be read.
        """
        path = directory / MANIFEST_FILE
        try:
            data = read_bytes(path, MAX_MANIFEST_BYTES, follow_links=False)
        except MissingFileError:
            raise BrokenSnapshotError(
                f"{path}: missing: this snapshot was never sealed",
                f"if you trust the three files in their current state: hornetos adopt {directory}",
            ) from None
        except ForeignFileError as error:
            raise SnapshotError(error.message, error.hint) from error
        try:
            return parse_manifest(data)
        except SnapshotError as error:
            raise type(error)(f"{path}: {error.message}", error.hint) from error


def parse_manifest(data: bytes) -> Manifest:
    """Parse manifest.json. Raises SnapshotError if it is malformed, BrokenSnapshotError if it was edited."""
    try:
        manifest = Manifest.model_validate(parse_json(data))
    except ForeignFileError as error:
        raise SnapshotError(error.message, REPLACE) from error
    except ValidationError as error:
        raise SnapshotError(first_problem(error), REPLACE) from error
    if manifest.self_sha256 != manifest.content_sha256():
        raise BrokenSnapshotError(
            f"its content has SHA-256 {manifest.content_sha256()[:12]}…, sealed {manifest.self_sha256[:12]}…: "
            "it was edited by hand",
            REPLACE,
        )
    return manifest
