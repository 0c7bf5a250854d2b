"""Debian packages, fetched and unpacked. Nothing of them runs, except the build tools."""

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
# Its hash is part of the key of everything that it fetched.
PACKAGES_MODULE = Path(__file__)
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
