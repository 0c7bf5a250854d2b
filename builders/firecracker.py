"""Installs a release of Firecracker into HORNET_HOME: from its release page, a mirror or a file, by its SHA-256."""

from __future__ import annotations

import re
import shutil
import tarfile
import zlib
from pathlib import Path, PurePosixPath

from builders.download import download, download_text
from hornet.errors import BuildError, HornetError
from hornet.foreign_file import ForeignFileError, read_text
from hornet.host.artifact_store import file_sha256
from hornet.host.owned import work_directory
from hornet.host.proc import run
from hornet.host.progress import Progress
from hornet.host.workspace import Workspace
from hornet.spec.firecracker import FirecrackerRelease

PLACE = "firecracker"
PROGRAMS = ("firecracker", "jailer")
SUM_SUFFIX = ".sha256.txt"
MAX_SUM_BYTES = 1 << 10
MAX_PROGRAM_BYTES = 64 << 20
TIMEOUT_S = 20
SHA256 = re.compile(r"^[0-9a-f]{64}\b")


def install_firecracker(
    release: FirecrackerRelease,
    workspace: Workspace,
    progress: Progress,
    *,
    version: str,
    source: str | None = None,
    sha256: str | None = None,
) -> Path:
    """Install one release; returns the program's path, HORNET_HOME/firecracker/<version>/firecracker.

    source: the archive's URL or path (default: release.url). sha256: its hash (default: that of the file beside it,
    with the suffix .sha256.txt). An installed release stays as it is. Raises BuildError.
    """
    target = workspace.directory(PLACE) / version
    program = target / PROGRAMS[0]
    if program.exists():
        return program
    source = source or release.url.replace("{version}", version)
    with work_directory(workspace.run, PLACE) as work, progress.step(PLACE, f"fetching {source}"):
        archive = _fetch(source, sha256, work, progress)
        unpacked = work / "unpacked"
        unpacked.mkdir()
        _unpack(archive, unpacked, version)
        _check_version(unpacked / PROGRAMS[0], version)
        unpacked.replace(target)
    return program


def installed_firecrackers(workspace: Workspace) -> list[Path]:
    """The programs that were installed."""
    return sorted(workspace.directory(PLACE).glob(f"*/{PROGRAMS[0]}"))


def _fetch(source: str, sha256: str | None, work: Path, progress: Progress) -> Path:
    hint = "name a mirror or a file: hornetos firecracker install --from URL-OR-FILE"
    if "://" in source:
        wanted = sha256 or _sum_in(download_text(source + SUM_SUFFIX, MAX_SUM_BYTES, hint), source)
        archive = work / "archive.tgz"
        download(source, wanted, archive, hint, progress)
        return archive
    archive = Path(source)
    try:
        wanted = sha256 or _sum_in(read_text(Path(source + SUM_SUFFIX), MAX_SUM_BYTES), source)
        found = file_sha256(archive)
    except (ForeignFileError, OSError) as error:
        raise BuildError(f"{source}: {error}", "name an existing archive, and its SHA-256 with --sha256") from error
    if found != wanted:
        raise BuildError(f"{source}: SHA-256 is {found}, expected {wanted}", "fetch the archive again")
    return archive


def _sum_in(text: str, source: str) -> str:
    found = SHA256.match(text)
    if not found:
        raise BuildError(f"{source}{SUM_SUFFIX}: {text[:80]!r}, expected a SHA-256", "name it with --sha256")
    return found[0]


def _unpack(archive: Path, into: Path, version: str) -> None:
    """Write the two programs, and nothing else of the archive."""
    try:
        with tarfile.open(archive, "r:gz") as tar:
            for member in tar:
                name = PurePosixPath(member.name).name
                program = next((each for each in PROGRAMS if name.startswith(f"{each}-v{version}-")), None)
                if program is None or name.endswith((".debug", ".yaml", ".json")) or not member.isreg():
                    continue
                if member.size > MAX_PROGRAM_BYTES:
                    raise BuildError(f"{archive}: {name} has {member.size} bytes, expected {MAX_PROGRAM_BYTES} at most")
                content = tar.extractfile(member)
                assert content
                with content, (into / program).open("xb") as file:
                    shutil.copyfileobj(content, file)
                (into / program).chmod(0o755)
    except (tarfile.TarError, zlib.error, OSError, EOFError, ValueError) as error:
        raise BuildError(f"{archive}: can't be unpacked: {error}", "fetch the archive again") from error
    if not (into / PROGRAMS[0]).exists():
        raise BuildError(f"{archive}: holds no {PROGRAMS[0]}-v{version}-…", "name the version that the archive holds")


def _check_version(program: Path, version: str) -> None:
    try:
        printed = run([program, "--version"], timeout_s=TIMEOUT_S).output
    except HornetError as error:
        raise BuildError(f"{program.name} of the archive does not run: {error.message}") from error
    if f"Firecracker v{version}" not in printed.splitlines()[:1]:
        raise BuildError(f"the archive's program says {printed[:60]!r}, expected 'Firecracker v{version}'")
