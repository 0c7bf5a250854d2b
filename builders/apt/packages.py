"""Fetches and unpacks Debian packages. None of their programs run, except the build tools."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from builders.apt.sources import KEYRING, apt_sources
from hornet.errors import BuildError, HornetError
from hornet.host.proc import run
from hornet.host.progress import Progress
from hornet.spec.rootfs import Debian

FETCH_TIMEOUT_S = 900
VERSIONS_FILE = "versions.json"
MAX_VERSIONS_BYTES = 1 << 20
# The hash of this module is part of the cache key of everything that it fetches.
PACKAGES_MODULE = Path(__file__)
# Ubuntu's apt does not trust Debian's keys. mmdebstrap detects and handles that only if gpg is installed.
TRUST = f"--keyring={KEYRING}"


def extract_packages(
    debian: Debian, packages: Sequence[str], tree: Path, work: Path, progress: Progress
) -> dict[str, str]:
    """Unpack packages and all their dependencies into `tree`. Returns {package: version}.

    Raises BuildError if the mirror can't be reached or a package does not exist.
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
    """Write a layer's package versions beside it. They are part of an image's cache key: names alone don't change."""
    (layer / VERSIONS_FILE).write_text(json.dumps(versions, indent=2) + "\n")


def parse_listing(text: str) -> dict[str, str]:
    """{package: version} from the names of .deb files. apt writes the `:` of an epoch as %3a."""
    versions = {}
    for name in text.split():
        package, version, _ = name.split("_", 2)
        versions[package] = version.replace("%3a", ":")
    return dict(sorted(versions.items()))
