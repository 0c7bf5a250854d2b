"""The sources of a kernel: a Debian package, kernel.org or a mirror of it, or a local tree.

Each source has an identity, which is part of the artifact's cache key. Finding it needs no download, except for a
package of another Debian suite. A source is unpacked into a new directory, so that a build never changes the original.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import stat
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from builders.apt.packages import extract_packages
from builders.download import DOWNLOAD_TIMEOUT_S, download
from builders.kernel.make import make
from hornet.errors import BuildError, CommandError, SpecError
from hornet.foreign_file import read_text
from hornet.host.artifact_store import file_sha256
from hornet.host.durable import put_in_place
from hornet.host.owned import work_directory
from hornet.host.proc import run
from hornet.host.progress import Progress
from hornet.host.workspace import Workspace
from hornet.spec.kernel import DebianKernel, KernelOrgKernel
from hornet.spec.model import Spec
from hornet.spec.rootfs import Debian

QUERY_TIMEOUT_S = 60.0
UNPACK_TIMEOUT_S = 600.0
INSTALLED_SOURCES = Path("/usr/src")
MAX_VERSION_BYTES = 1 << 10
# Files of a kernel that no build for x86 reads, half of all: they would be written and removed again.
UNREAD = (
    "*/arch/[!x]*/*.[chS]",
    "*/arch/[!x]*/boot/*",
    "*/Documentation/*/*",
    "*/tools/testing/*",
    "*/drivers/gpu/drm/amd/include/*",
)


@dataclass(frozen=True)
class Source:
    """A kernel source: `unpack(directory, log)` fills an empty directory with the tree."""

    identity: dict[str, str]
    unpack: Callable[[Path, Path], None]


def find_source(spec: Spec, workspace: Workspace, progress: Progress, name: str | None) -> Source:
    """The source with that name in the spec, or the local tree at that path. None selects the spec's default.

    Raises SpecError for a name that is neither, BuildError for a source that can't be identified.
    """
    kernel = spec.kernel
    name = name or kernel.source
    if name not in kernel.sources:
        if (Path(name) / "Kconfig").is_file() and (Path(name) / "Makefile").is_file():
            return _local_tree(Path(name), progress)
        raise SpecError(
            f"{name}: neither a kernel source of the spec nor a kernel source tree",
            f"use one of {', '.join(kernel.sources)}, or the path of an unpacked kernel source",
        )
    wanted = kernel.sources[name]
    if isinstance(wanted, DebianKernel):
        other_suite = spec.rootfs.debian.model_copy(update={"suite": wanted.suite})
        return _debian(wanted, other_suite, workspace, progress)
    return _kernel_org(wanted, kernel.kernel_org_mirror, workspace, progress)


def _debian(wanted: DebianKernel, other_suite: Debian, workspace: Workspace, progress: Progress) -> Source:
    """The installed package, else the candidate of the host's apt, else the package of the spec's other suite."""
    package = wanted.package
    installed = run(["dpkg-query", "-W", "-f", "${Version}", package], timeout_s=QUERY_TIMEOUT_S, ok_codes=(0, 1))
    tarball = INSTALLED_SOURCES / f"{package}.tar.xz"
    if installed.exit_code == 0 and tarball.exists():

        def unpack_installed(directory: Path, log: Path) -> None:
            run(["dpkg", "--verify", package], timeout_s=QUERY_TIMEOUT_S, log=log, hint=f"reinstall {package}")
            _untar(tarball, directory, log)

        return Source({"debian": package, "version": installed.output}, unpack_installed)

    version = _debian_candidate(package, workspace)
    if version is None:
        return _of_other_suite(package, other_suite, workspace, progress)

    def unpack_download(directory: Path, log: Path) -> None:
        downloads = workspace.directory("cache", "kernel")
        run(["apt-get", "download", f"{package}={version}"], cwd=downloads, timeout_s=DOWNLOAD_TIMEOUT_S, log=log)
        # apt writes an epoch's colon as %3a.
        [archive] = downloads.glob(f"{package}_{version.replace(':', '%3a')}_*.deb")
        extracted = directory.with_name("package")
        run(["dpkg-deb", "-x", archive, extracted], timeout_s=UNPACK_TIMEOUT_S, log=log)
        _untar(extracted / tarball.relative_to("/"), directory, log)
        shutil.rmtree(extracted)

    return Source({"debian": package, "version": version}, unpack_download)


def _debian_candidate(package: str, workspace: Workspace) -> str | None:
    # Container images switch off apt's own cache file: then it parses all package lists at each call, for a second.
    cache = f"Dir::Cache::pkgcache={workspace.directory('cache', 'apt') / 'pkgcache.bin'}"
    words: list[str | Path] = ["apt-cache", "-o", cache, "policy", package]
    try:
        policy = run(words, timeout_s=QUERY_TIMEOUT_S, env={"LC_ALL": "C"}).output
    except CommandError as error:
        raise BuildError(f"{package}: apt-cache failed: {error.message}", "use a host with Debian or Ubuntu") from error
    # apt treats an unknown name as a pattern: for linux-source-6.1 it may answer with linux-source-6.12.
    candidate = re.search(rf"^{re.escape(package)}:\n.*\n +Candidate: (\d\S+)", policy, re.MULTILINE)
    return candidate[1] if candidate else None


def _of_other_suite(package: str, debian: Debian, workspace: Workspace, progress: Progress) -> Source:
    """The package of another Debian suite, fetched once. To get a newer one, remove the directory."""
    kept = workspace.directory("cache", "kernel") / f"{package}-{debian.suite}"
    tarball = INSTALLED_SOURCES / f"{package}.tar.xz"
    if not kept.exists():
        with work_directory(kept.parent, kept.name) as fresh:
            with progress.step("kernel", f"fetching {package} of Debian {debian.suite}"):
                versions = extract_packages(debian, [package], fresh / "tree", fresh, progress)
            shutil.move(fresh / "tree" / tarball.relative_to("/"), fresh / tarball.name)
            shutil.rmtree(fresh / "tree")
            (fresh / "version").write_text(versions[package])
            put_in_place(fresh, kept)
    identity = {"debian": package, "version": read_text(kept / "version", MAX_VERSION_BYTES)}
    return Source(identity, lambda directory, log: _untar(kept / tarball.name, directory, log))


def _kernel_org(wanted: KernelOrgKernel, mirror: str, workspace: Workspace, progress: Progress) -> Source:
    name = f"linux-{wanted.version}.tar.xz"
    url = f"{mirror.rstrip('/')}/v{wanted.version.partition('.')[0]}.x/{name}"

    def unpack(directory: Path, log: Path) -> None:
        archive = workspace.directory("cache", "kernel") / name
        if not (archive.exists() and file_sha256(archive) == wanted.sha256):
            hint = "set kernel.kernel_org_mirror to a reachable mirror, or build from another source (--source)"
            download(url, wanted.sha256, archive, hint, progress)
        _untar(archive, directory, log)

    # The mirror is not part of the identity: the pinned hash alone identifies the source.
    return Source({"kernel.org": wanted.version, "sha256": wanted.sha256}, unpack)


def _local_tree(tree: Path, progress: Progress) -> Source:
    with progress.step("kernel", f"hashing {tree}"):
        digest = _tree_sha256(tree)

    def unpack(directory: Path, log: Path) -> None:
        shutil.copytree(tree, directory, symlinks=True, dirs_exist_ok=True, ignore=shutil.ignore_patterns(".git"))
        make(directory, "mrproper", timeout_s=UNPACK_TIMEOUT_S, log=log)

    return Source({"tree_sha256": digest}, unpack)


def _tree_sha256(tree: Path) -> str:
    """SHA-256 over the names, types and contents of all files, without .git."""
    digest = hashlib.sha256()
    for path in sorted(tree.rglob("*")):
        name = path.relative_to(tree)
        if name.parts[0] == ".git" or (path.is_dir() and not path.is_symlink()):
            continue
        content = str(path.readlink()) if path.is_symlink() else file_sha256(path)
        digest.update(f"{name}\0{stat.filemode(path.lstat().st_mode)}\0{content}\n".encode(errors="surrogateescape"))
    return digest.hexdigest()


def _untar(archive: Path, directory: Path, log: Path) -> None:
    words: list[str | Path] = ["tar", "-xf", archive, "-C", directory, "--strip-components=1", "--no-same-owner"]
    words += [f"--exclude={pattern}" for pattern in UNREAD]
    run(words, timeout_s=UNPACK_TIMEOUT_S, log=log, hint="free space, or remove the archive if it is damaged")
