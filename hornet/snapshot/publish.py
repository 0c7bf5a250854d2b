"""Publishes a snapshot and selects the one for production, each with one rename: a crash leaves the old or the new."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock

from hornet.errors import SnapshotError
from hornet.host.durable import put_in_place, replace_link
from hornet.host.file_copy import PRIVATE_DIRECTORY_MODE
from hornet.host.owned import MARK, remove_abandoned, work_directory
from hornet.host.workspace import Workspace
from hornet.snapshot.bundle import Bundle
from hornet.spec.snapshots import SnapshotFiles


@contextmanager
def publishing(target: Path, names: SnapshotFiles) -> Iterator[Bundle]:
    """A bundle to fill and seal; it becomes `target` with one rename when the block succeeds.

    A crash or a power cut at any point leaves the old version or the new one. The next call for the same target removes
    an unfinished one. Raises SnapshotError if the target exists.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(target.with_name(f".{target.name}.lock")):
        for stale in target.parent.glob(f".{target.name}{MARK}*"):
            remove_abandoned(stale)
        if os.path.lexists(target):
            raise SnapshotError(f"{target}: already exists", "choose another version name: snapshots never change")
        with work_directory(target.parent, f".{target.name}", PRIVATE_DIRECTORY_MODE) as work:
            yield Bundle(work, names)
            Bundle(work, names).check_seal()
            put_in_place(work, target)


def production(workspace: Workspace, names: SnapshotFiles) -> Path | None:
    """The directory of the snapshot that production uses, or None."""
    link = workspace.snapshots / names.production_link
    return link.resolve() if link.is_symlink() else None


def switch_production(workspace: Workspace, bundle: Bundle) -> None:
    """Switch production to `bundle` with one rename of a symbolic link.

    Raises SnapshotError if something else has the link's name, such as a copy made as the guide describes.
    """
    link = workspace.snapshots / bundle.names.production_link
    if link.exists() and not link.is_symlink():
        raise SnapshotError(
            f"{link}: not a symbolic link",
            "if it is a copy, move it to a version name and adopt it: hornetos adopt",
        )
    replace_link(link, os.path.relpath(bundle.directory, link.parent))
