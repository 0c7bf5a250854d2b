"""Finds the bill of materials of an image, a kernel or a snapshot, and proves that it describes that one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hornet.errors import SnapshotError
from hornet.foreign_file import ForeignFileError, MissingFileError, read_json
from hornet.host.artifact_store import file_sha256
from hornet.snapshot.bundle import BILL_FILE, MAX_BILL_BYTES, open_bundle
from hornet.spec.snapshots import SnapshotFiles

FORMAT = "CycloneDX"
REBUILD = "build it with this suite: hornetos build rootfs, hornetos build kernel, hornetos build snapshot"


def bill_of(path: Path, names: SnapshotFiles) -> dict[str, Any]:
    """The bill of the image or kernel file at `path`, or of the snapshot in that directory.

    Raises SnapshotError if there is none, if it is damaged, or if it describes other content.
    """
    if not path.exists():
        raise SnapshotError(f"{path}: no such file or directory", "name an image, a kernel or a snapshot's directory")
    return _of_snapshot(path, names) if path.is_dir() else _of_file(path.resolve())


def packages_of(bill: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Every component of a bill but single files, what it describes first."""
    yield bill["metadata"]["component"]
    yield from _below(bill)


def _below(component: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for part in component.get("components", []):
        if part["type"] != "file":
            yield part
            yield from _below(part)


def licences_of(component: dict[str, Any]) -> list[str]:
    """SPDX identifiers, or names of licences that have none."""
    licences = [entry["license"] for entry in component.get("licenses", [])]
    return [licence.get("id") or licence["name"] for licence in licences]


def licence_counts(bill: dict[str, Any]) -> dict[str, int]:
    """How many packages have a licence for some of their files, by licence, the most frequent first.

    Raises SnapshotError if the bill is malformed.
    """
    try:
        return dict(Counter(name for package in packages_of(bill) for name in licences_of(package)).most_common())
    except (AttributeError, LookupError, TypeError) as error:
        raise SnapshotError(f"the bill of materials is malformed: {error!r}", REBUILD) from error


def _of_snapshot(directory: Path, names: SnapshotFiles) -> dict[str, Any]:
    bundle = open_bundle(directory, names)
    manifest = bundle.manifest()
    if manifest.bill is None:
        origin = "its VM was restored and could change" if manifest.origin.parent else "it was made without one"
        raise SnapshotError(f"{directory}: no bill of materials: {origin}", REBUILD)
    bundle.check_bill(manifest)
    return _read(bundle.bill)


def _of_file(path: Path) -> dict[str, Any]:
    found = _read(path.with_name(BILL_FILE))
    described, sha256 = _described_sha256(found), file_sha256(path)
    if described is None:
        raise SnapshotError(
            f"{path}: {BILL_FILE} beside it describes no single file",
            f"if {path.parent} is a snapshot, name it: hornetos sbom {path.parent}",
        )
    if described != sha256:
        raise SnapshotError(
            f"{path}: SHA-256 {sha256[:12]}…, but {BILL_FILE} beside it describes {described[:12]}…", REBUILD
        )
    return found


def _read(path: Path) -> dict[str, Any]:
    try:
        found = read_json(path, MAX_BILL_BYTES)
    except MissingFileError as error:
        raise SnapshotError(f"{path}: no bill of materials", REBUILD) from error
    except ForeignFileError as error:
        raise SnapshotError(error.message, REBUILD) from error
    if not isinstance(found, dict) or found.get("bomFormat") != FORMAT:
        raise SnapshotError(f"{path}: not a bill of materials in {FORMAT} JSON", REBUILD)
    return found


def _described_sha256(found: dict[str, Any]) -> str | None:
    try:
        hashes = found["metadata"]["component"]["hashes"]
        return str(next(entry["content"] for entry in hashes if entry["alg"] == "SHA-256"))
    except (LookupError, TypeError, StopIteration):
        return None
