"""Housekeeping of a HORNET_HOME: what can be removed of it, and what never is.

Only what the suite made is looked at: by its place, its name and its own file in it. Of each kind, the newest stay.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from filelock import FileLock, Timeout

from hornet.errors import HornetError
from hornet.host.artifact_store import INPUTS_FILE
from hornet.host.compiler_cache import MAX_SIZE, cache_directory, trim_cache
from hornet.host.owned import remove_abandoned
from hornet.host.workspace import Workspace
from hornet.snapshot import production
from hornet.snapshot.manifest import MANIFEST_FILE, Manifest
from hornet.spec.snapshots import SnapshotFiles
from hornet.vm.state import running_vms

KEY = re.compile(r"[0-9a-f]{16}")
FAILED = re.compile(r"[0-9a-f]{16}\.failed")
RUN = re.compile(r"[0-9]{8}-[0-9]{6}(-[0-9]+)?")
LOG = re.compile(r"[0-9]{8}-[0-9]{6}-[0-9]+(\.log)?")
# A run directory has at least one of these.
RUN_FILES = ("run.json", "records.jsonl", "collected.json")
DAY_S = 86_400


@dataclass(frozen=True)
class Item:
    """Something that the suite made. kind: of which the newest stay. used_s: when it was last used (Unix time).

    size_bytes: on the disk. kept_because: why it is never removed now; "" if nothing speaks against it.
    """

    kind: str
    path: Path
    size_bytes: int
    used_s: float
    kept_because: str = ""


def find_items(workspace: Workspace, names: SnapshotFiles) -> list[Item]:
    """Everything that may be removed one day. Raises VMError for a state file that the suite did not write."""
    return [
        *_artifacts(workspace),
        *_snapshots(workspace, names),
        *_reports(workspace),
        *_logs(workspace),
        *_caches(workspace),
    ]


def choose(items: Sequence[Item], keep: int, older_than_days: float) -> list[Item]:
    """The items to remove: of each kind all but the newest `keep` that nothing refers to, if they are old enough."""
    limit_s = time.time() - older_than_days * DAY_S
    chosen: list[Item] = []
    by_kind = sorted(items, key=lambda it: (it.kind, -it.used_s))
    for _, group in groupby(by_kind, key=lambda it: it.kind):
        free = [it for it in group if not it.kept_because]
        chosen += [it for it in free[keep:] if it.used_s <= limit_s]
    return chosen


def remove(item: Item) -> bool:
    """Remove an item unless somebody uses it now; returns whether it was removed. Raises OSError."""
    if not item.path.is_dir():
        item.path.unlink(missing_ok=True)
        return True
    lock = _lock_of(item)
    if lock is None:
        return remove_abandoned(item.path)
    try:
        with FileLock(lock, timeout=0):
            removed = remove_abandoned(item.path)
            if removed:
                lock.unlink(missing_ok=True)
            return removed
    except Timeout:
        return False


def trim_compiler_cache(workspace: Workspace, older_than_days: float) -> int:
    """Trim ccache; returns the bytes that this freed. Raises CommandError."""
    cache = cache_directory(workspace)
    before_bytes = _size_bytes(cache) if cache.is_dir() else 0
    trim_cache(workspace, older_than_days)
    return before_bytes - (_size_bytes(cache) if cache.is_dir() else 0)


def _lock_of(item: Item) -> Path | None:
    """The file on which those wait who build or publish it."""
    if item.kind.startswith("artifact") or item.kind == "failed build":
        return item.path.with_name(f"{item.path.name.removesuffix('.failed')}.lock")
    return item.path.with_name(f".{item.path.name}.lock") if item.kind == "snapshot" else None


def _artifacts(workspace: Workspace) -> Iterator[Item]:
    published = {link.resolve().parent for link in _entries(workspace.root / "images") if link.is_symlink()}
    for kind in _entries(workspace.root / "build"):
        for path in _entries(kind):
            if FAILED.fullmatch(path.name):
                yield _item("failed build", path)
            elif KEY.fullmatch(path.name) and (path / INPUTS_FILE).is_file():
                why = "images/ links to it" if path in published else ""
                yield _item(f"artifact {kind.name}", path, why, (path / INPUTS_FILE).stat().st_mtime)


def _snapshots(workspace: Workspace, names: SnapshotFiles) -> Iterator[Item]:
    """Snapshots, unless they were made elsewhere: those cannot be made again."""
    manifests = {path: _manifest(path) for path in _entries(workspace.root / "snapshots") if path.is_dir()}
    parents = {it.origin.parent for it in manifests.values() if it}
    live = production(workspace, names)
    used = {state.snapshot for state in running_vms(workspace).values()}
    for path, manifest in manifests.items():
        if manifest is None or path.is_symlink() or path.name.startswith("."):
            continue
        reasons = {
            "it was adopted, so it cannot be made again": manifest.origin.adopted,
            "production uses it": path == live,
            "a running VM uses it": str(path) in used,
            "another snapshot was made from it": manifest.self_sha256 in parents,
        }
        yield _item("snapshot", path, next((why for why, holds in reasons.items() if holds), ""))


def _manifest(directory: Path) -> Manifest | None:
    """The manifest; None if the directory has none, or one that the suite cannot read and so does not touch."""
    if not (directory / MANIFEST_FILE).is_file():
        return None
    try:
        return Manifest.read(directory)
    except HornetError:
        return None


def _reports(workspace: Workspace) -> Iterator[Item]:
    latest = (workspace.root / "reports" / "latest").resolve()
    for path in _entries(workspace.root / "reports"):
        if RUN.fullmatch(path.name) and path.is_dir() and any((path / name).is_file() for name in RUN_FILES):
            yield _item("report", path, "reports/latest links to it" if path == latest else "")


def _logs(workspace: Workspace) -> Iterator[Item]:
    for kind, place in (("log", workspace.root / "logs"), ("logs of VMs", workspace.root / "logs" / "vms")):
        for path in _entries(place):
            if LOG.fullmatch(path.name):
                yield _item(kind, path)


def _caches(workspace: Workspace) -> Iterator[Item]:
    """Downloaded sources of kernels and proofs of lanes. The compiler's cache is only trimmed (trim_cache)."""
    for name in ("kernel", "lanes"):
        for path in _entries(workspace.root / "cache" / name):
            if path.is_file():
                yield _item(f"cache {name}", path)
    if (cache := cache_directory(workspace)).is_dir():
        yield _item("cache ccache", cache, f"trimmed to {MAX_SIZE}, with --older-than to what was used since")


def _item(kind: str, path: Path, kept_because: str = "", used_s: float | None = None) -> Item:
    status = path.stat()
    return Item(kind, path, _size_bytes(path), used_s or status.st_mtime, kept_because)


def _size_bytes(path: Path) -> int:
    """What a file or a tree takes on the disk; links are not followed."""
    found = path.lstat().st_blocks * 512
    if path.is_dir() and not path.is_symlink():
        with suppress(OSError):
            found += sum(_size_bytes(Path(entry.path)) for entry in os.scandir(path))
    return found


def _entries(directory: Path) -> list[Path]:
    """The entries of a directory of HORNET_HOME, by name; none if it is missing, or a link to another place."""
    if not directory.is_dir() or directory.is_symlink():
        return []
    return sorted(path for path in directory.iterdir() if directory.name == "images" or not path.is_symlink())
