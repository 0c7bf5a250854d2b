"""Publish a snapshot, and choose the one for production: each is one rename, so that a crash leaves old or new."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock

from hornet.errors import SnapshotError
from hornet.home import Home
from hornet.snapshot.bundle import Bundle
from hornet.spec import SnapshotFiles


@contextmanager
def publishing(target: Path, names: SnapshotFiles) -> Iterator[Bundle]:
    """A bundle to fill and seal; it becomes `target` by one rename when the block ends well.

    A crash at any point leaves the old version or the new one; what it leaves half done, the next call for the same
    target removes. Raises SnapshotError if the target exists.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(target.with_name(f".{target.name}.lock")):
        for stale in target.parent.glob(f".{target.name}.tmp-*"):
            shutil.rmtree(stale)
        if target.exists():
            raise SnapshotError(f"{target}: exists already", "choose another version name: snapshots never change")
        work = Path(tempfile.mkdtemp(prefix=f".{target.name}.tmp-", dir=target.parent))
        try:
            yield Bundle(work, names)
            Bundle(work, names).check_seal()
            for path in [*work.iterdir(), work]:
                _sync(path)
            work.rename(target)
            _sync(target.parent)
        except BaseException:
            shutil.rmtree(work, ignore_errors=True)
            raise


def production(home: Home, names: SnapshotFiles) -> Path | None:
    """The directory of the snapshot that production uses now, or None."""
    link = home.snapshots / names.production_link
    return link.resolve() if link.is_symlink() else None


def switch_production(home: Home, bundle: Bundle) -> None:
    """Make `bundle` the one that production uses, by one rename of a symbolic link.

    Raises SnapshotError if the link's place is taken by something else, such as a copy made the guide's way.
    """
    link = home.snapshots / bundle.names.production_link
    if link.exists() and not link.is_symlink():
        raise SnapshotError(
            f"{link}: not a symbolic link", "it is a copy: move it to a version name of its own, then hornetos adopt it"
        )
    with FileLock(link.with_name(f".{link.name}.lock")):
        new = link.with_name(f".{link.name}.new")
        new.unlink(missing_ok=True)
        new.symlink_to(os.path.relpath(bundle.directory, link.parent))
        new.replace(link)
        _sync(link.parent)


def _sync(path: Path) -> None:
    """On disk, or a power cut could leave a published snapshot with holes."""
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
