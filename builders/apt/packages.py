"""Fetches and unpacks Debian packages. None of their programs run, except the build tools."""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from builders.apt.sources import KEYRING, apt_sources
from hornet.errors import BuildError, HornetError
from hornet.host.proc import run
from hornet.host.progress import Progress
from hornet.spec.rootfs import Debian

FETCH_TIMEOUT_S = 900
VERSIONS_FILE = "versions.json"
MAX_VERSIONS_BYTES = 1 << 20
# What each package contains, for the software bill of materials: a line with its fields, then its files.
CONTENTS_FILE = "contents.txt"
MAX_CONTENTS_BYTES = 64 << 20
FIELDS = ("Package", "Version", "Architecture", "source:Package", "source:Version")
SHOW_FIELDS = "".join(rf"${{{name}}}\t" for name in FIELDS)
LIST_CONTENTS = rf"""for deb in *.deb; do
printf '\t' && dpkg-deb -W --showformat='{SHOW_FIELDS}' "$deb" && sha256sum <"$deb" &&
dpkg-deb --fsys-tarfile "$deb" | tar -t || exit 1
done"""
# Where /usr is merged, these directories of a package are below it.
MERGED = ("bin/", "sbin/", "lib/", "lib64/")
# The hash of this module is part of the cache key of everything that it fetches.
PACKAGES_MODULE = Path(__file__)
# Ubuntu's apt does not trust Debian's keys. mmdebstrap detects and handles that only if gpg is installed.
TRUST = f"--keyring={KEYRING}"


@dataclass(frozen=True)
class DebPackage:
    """An unpacked package. files: paths without a leading slash, as they are in a tree whose /usr is merged."""

    name: str
    version: str
    architecture: str
    source: str
    source_version: str
    sha256: str = ""
    files: set[str] = field(default_factory=set, kw_only=True)


def extract_packages(
    debian: Debian, packages: Sequence[str], tree: Path, work: Path, progress: Progress
) -> dict[str, str]:
    """Unpack packages and all their dependencies into `tree`. Returns {package: version}.

    Writes CONTENTS_FILE into `work`. Raises BuildError if the mirror can't be reached or a package does not exist.
    """
    listing, contents = work / "packages.txt", work / CONTENTS_FILE
    argv = [
        *("mmdebstrap", "--mode=root", "--variant=extract", TRUST, f"--include={','.join(packages)}"),
        *("--architectures=amd64", "--aptopt=Acquire::Retries 3", "--aptopt=Acquire::http::Timeout 60"),
        f'--extract-hook=cd "$1/var/cache/apt/archives" && ls *.deb > {shlex.quote(str(listing))}',
        f'--extract-hook=cd "$1/var/cache/apt/archives" && ({LIST_CONTENTS}) > {shlex.quote(str(contents))}',
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


def parse_contents(text: str) -> list[DebPackage]:
    """The packages in CONTENTS_FILE."""
    packages: list[DebPackage] = []
    for line in text.splitlines():
        if line.startswith("\t"):
            packages.append(parse_fields(line[1:]))
        else:
            packages[-1].files.add(merged(line.removeprefix("./")))
    return packages


def parse_fields(line: str) -> DebPackage:
    """A package without its files: SHOW_FIELDS, and the output of sha256sum where its archive was at hand."""
    name, version, architecture, source, source_version, digest = line.split("\t")
    return DebPackage(name, version, architecture, source, source_version, digest.partition(" ")[0])


def merged(path: str) -> str:
    """Where a file of a package is in a tree whose /usr is merged."""
    return f"usr/{path}" if path.startswith(MERGED) else path
