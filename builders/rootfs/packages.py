"""Debian packages and the npm package, fetched and unpacked. Nothing of them runs, except the build tools."""

from __future__ import annotations

import base64
import hashlib
import json
import sys
import tarfile
from collections.abc import Sequence
from pathlib import Path

from builders.rootfs.sources import KEYRING, apt_sources
from hornet.errors import BuildError, HornetError
from hornet.proc import run
from hornet.progress import Progress
from hornet.rootfs_spec import Debian, NpmPackage

FETCH_TIMEOUT_S = 900
VERSIONS_FILE = "versions.json"
MAX_VERSIONS_BYTES = 1 << 20
# Ubuntu's apt does not trust Debian's keys, and mmdebstrap finds that out only where there is gpg.
TRUST = f"--keyring={KEYRING}"


def extract_packages(
    debian: Debian, packages: Sequence[str], tree: Path, work: Path, progress: Progress
) -> dict[str, str]:
    """Unpack packages and all that they depend on into `tree`; returns {package: version}.

    Raises BuildError when the mirror can't be reached or a package does not exist.
    """
    listing = work / "packages.txt"
    argv = [
        *("mmdebstrap", "--mode=root", "--variant=extract", TRUST, f"--include={','.join(packages)}"),
        *("--architectures=amd64", "--aptopt=Acquire::Retries 3", "--aptopt=Acquire::http::Timeout 60"),
        f'--extract-hook=cd "$1/var/cache/apt/archives" && ls *.deb > "{listing}"',
        *(debian.suite, str(tree), *apt_sources(debian)),
    ]
    progress.update(f"{len(packages)} packages of {debian.suite}")
    try:
        run(argv, timeout_s=FETCH_TIMEOUT_S, log=work / "packages.log", on_line=progress.update)
    except HornetError as error:
        raise BuildError(error.message, "check that apt's mirror is reachable: apt-get update") from error
    return parse_listing(listing.read_text())


def write_versions(versions: dict[str, str], layer: Path) -> None:
    """Note beside a layer what it holds: an image's key has this, since the names of packages alone stay the same."""
    (layer / VERSIONS_FILE).write_text(json.dumps(versions, indent=2) + "\n")


def parse_listing(text: str) -> dict[str, str]:
    """{package: version} from names of .deb files as apt writes them; `:` of an epoch is %3a there."""
    versions = {}
    for name in text.split():
        package, version, _ = name.split("_", 2)
        versions[package] = version.replace("%3a", ":")
    return dict(sorted(versions.items()))


def fetch_npm(package: NpmPackage, target: Path, work: Path) -> None:
    """Download the pinned npm package, check its integrity, unpack what the spec keeps of it into `target`.

    Raises BuildError for an unreachable registry, another content than pinned, or a missing entry.
    """
    wanted = f"{package.package}@{package.version}"
    npm = Path(sys.executable).with_name("npm")
    argv = [str(npm), "pack", "--silent", "--pack-destination", str(work), wanted]
    try:
        run(argv, timeout_s=FETCH_TIMEOUT_S, log=work / "npm.log", cwd=work)
    except HornetError as error:
        raise BuildError(error.message, "check that npm's registry is reachable: npm ping") from error
    (archive,) = work.glob("*.tgz")
    digest = "sha512-" + base64.b64encode(hashlib.sha512(archive.read_bytes()).digest()).decode()
    if digest != package.integrity:
        raise BuildError(
            f"{wanted}: integrity {digest}, expected {package.integrity}",
            "the registry serves another content than pinned: do not use it before you know why",
        )
    _unpack(archive, package, target)


def _unpack(archive: Path, package: NpmPackage, target: Path) -> None:
    with tarfile.open(archive) as tar:
        for member in tar:
            inner = Path(member.name).relative_to("package") if member.name.startswith("package/") else None
            if inner and member.isfile() and any(inner.match(pattern) for pattern in package.keep):
                (target / inner).parent.mkdir(parents=True, exist_ok=True)
                content = tar.extractfile(member)
                (target / inner).write_bytes(content.read() if content else b"")
                (target / inner).chmod(member.mode & 0o755)
    archive.unlink()
    if not (target / package.entry).is_file():
        raise BuildError(f"{package.package}@{package.version} has no {package.entry}", "correct `entry` in the spec")
