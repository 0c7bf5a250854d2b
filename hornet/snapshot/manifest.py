"""The manifest: what binds the three files of a snapshot to each other and to what made them."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from hornet.errors import SnapshotError

MANIFEST_FILE = "manifest.json"
# A manifest of another format is refused: it would have to be guessed what it does not say.
FORMAT: Final = 2


class Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class FileSeal(Table):
    """One file's content: apparent size in bytes and SHA-256 in hex."""

    size_bytes: int
    sha256: str


class Origin(Table):
    """What made a snapshot. A restore needs the same VMM, and under KVM the same CPU.

    kernel_sha256: of the vmlinux that was booted. ssh_public_blob: the key that the guest accepts.
    parent: the manifest hash of the snapshot that this one's VM was restored from.
    adopted: made elsewhere, sealed later (hornetos adopt): what is None is not known, and nobody knows whether the
    files were changed before.
    frozen: all processes of the guest stand still until it is told to refresh itself (see hornet/refresh.py).
    """

    lane: str
    vmm_version: str
    cpu_model: str
    cpu_features_sha256: str
    memory_mib: int
    vcpus: int
    kernel_sha256: str | None
    kernel_release: str | None
    tier: str
    spec_sha256: str
    ssh_public_blob: str | None
    parent: str | None
    adopted: bool
    frozen: bool = False


class Manifest(Table):
    """Everything that is known of a snapshot. `superblock` is the root file system's, in hex.

    `self_sha256` is over all the rest: a manifest edited by hand does not match it.
    """

    format: Literal[2]
    version: str
    created: str
    origin: Origin
    files: dict[str, FileSeal]
    superblock: str
    self_sha256: str

    @classmethod
    def create(
        cls, *, version: str, created: str, origin: Origin, files: dict[str, FileSeal], superblock: bytes
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
        )
        return bare.model_copy(update={"self_sha256": bare.content_sha256()})

    def content_sha256(self) -> str:
        """SHA-256 over every field but self_sha256, as canonical JSON."""
        data = self.model_dump(exclude={"self_sha256"})
        return hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()

    def write(self, directory: Path) -> None:
        """Write manifest.json."""
        (directory / MANIFEST_FILE).write_text(self.model_dump_json(indent=2) + "\n")

    @classmethod
    def read(cls, directory: Path) -> Manifest:
        """Read manifest.json. Raises SnapshotError if it is missing, malformed, or was edited."""
        path = directory / MANIFEST_FILE
        try:
            manifest = cls.model_validate_json(path.read_bytes())
        except FileNotFoundError:
            raise SnapshotError(
                f"{path}: missing: this snapshot was never sealed",
                f"if you trust the three files as they are: hornetos adopt {directory}",
            ) from None
        except OSError as error:
            raise SnapshotError(f"{path}: can't be read: {error.strerror}", "check its permissions") from error
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            where = ".".join(str(part) for part in first["loc"]) or "the file"
            raise SnapshotError(
                f"{path}: {where}: {first['msg']}", "restore the manifest from a copy, or make a new snapshot"
            ) from error
        if manifest.self_sha256 != manifest.content_sha256():
            raise SnapshotError(
                f"{path}: its content has SHA-256 {manifest.content_sha256()[:12]}…, sealed "
                f"{manifest.self_sha256[:12]}…: it was edited by hand",
                "restore the manifest from a copy, or make a new snapshot",
            )
        return manifest
