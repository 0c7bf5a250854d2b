"""Takes over the run directories that a command has made in the lab. They come as a tar file: hostile data."""

from __future__ import annotations

import os
import shutil
import tarfile
from pathlib import Path, PurePosixPath

from hornet.errors import HostError
from hornet.host.durable import replace_link
from hornet.host.workspace import Workspace

# A run directory holds some MiB.
MAX_RESULTS_BYTES = 1 << 30
LATEST = "latest"


def take_over(archive: Path, work: Path, workspace: Workspace) -> list[Path]:
    """Unpack new run directories into HORNET_HOME/reports; returns their paths.

    work: a directory on the same file system. What is in reports/ already stays as it is. An empty archive means that
    there is nothing new. Raises HostError for an archive that is cut off, that leads out of reports/, or on a full
    disk.
    """
    if archive.stat().st_size == 0:
        return []
    unpacked = work / "unpacked"
    unpacked.mkdir()
    try:
        latest = _unpack(archive, unpacked)
    except (tarfile.TarError, OSError, EOFError, ValueError) as error:
        raise HostError(
            f"the lab's results can't be unpacked: {error}", f"check the free space of {workspace.root}; run it again"
        ) from error
    taken = []
    for directory in sorted(path for path in unpacked.iterdir() if path.is_dir()):
        target = workspace.reports / directory.name
        if not os.path.lexists(target):
            directory.rename(target)
            taken.append(target)
    if latest in {path.name for path in taken}:
        replace_link(workspace.reports / LATEST, latest)
    return taken


def _unpack(archive: Path, into: Path) -> str:
    """Write directories and files, and nothing else; returns where the link `latest` points.

    tarfile's own extraction filters are missing in Python 3.11.2.
    """
    latest = ""
    with tarfile.open(archive, "r:") as tar:
        for member in tar:
            name = PurePosixPath(member.name)
            if name.is_absolute() or ".." in name.parts or member.issparse():
                raise ValueError(f"{member.name}: not a file of a run directory")
            if member.isdir():
                (into / name).mkdir(parents=True, exist_ok=True)
            elif member.isreg() and (source := tar.extractfile(member)):
                (into / name).parent.mkdir(parents=True, exist_ok=True)
                with source, (into / name).open("xb") as file:
                    shutil.copyfileobj(source, file)
            elif member.issym() and str(name) == LATEST:
                latest = member.linkname
    return latest
