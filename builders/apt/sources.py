"""The sources of Debian packages: the mirrors that this host's apt uses, for any suite that an image needs."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

from hornet.spec.rootfs import Debian

KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
APT_SOURCES = Path("/etc/apt")
ONE_LINE = re.compile(r"^deb\s+(?:\[[^\]]*\]\s+)?(\S+)\s+(\S+)\s+(.*)$", re.MULTILINE)
FIELD = re.compile(r"^([\w-]+):((?:.*)(?:\n[ \t].*)*)", re.MULTILINE)
# A suite's updates are separate suites with a suffix. The security updates are also on a separate mirror.
POCKETS = {"": "/debian", "-updates": "/debian", "-security": "/debian-security"}
# A suite of newer packages beside those of its release, which has what they depend on.
BACKPORTS = "-backports"


def apt_sources(debian: Debian) -> list[str]:
    """The lines of sources.list for the spec's suite and those of its updates that this host's apt has a mirror for.

    Backports come with their release. If the spec names a mirror, it is the only one. If apt has no mirror of Debian,
    the list is empty: mmdebstrap then uses its own default, which includes the updates.
    """
    mirrors = {"": debian.mirror} if debian.mirror else configured_mirrors()
    if "" not in mirrors:
        return []
    release, components = debian.suite.removesuffix(BACKPORTS), " ".join(debian.components)
    places = [(uri, f"{release}{pocket}") for pocket, uri in mirrors.items()]
    if release != debian.suite:
        places.append((mirrors[""], debian.suite))
    return [f"deb [signed-by={KEYRING}] {uri} {suite} {components}" for uri, suite in places]


def suites(debian: Debian) -> list[str]:
    """The suites of apt_sources(), for a layer's cache key. The mirrors are not part of the key."""
    return [line.split()[3] for line in apt_sources(debian)]


def configured_mirrors() -> dict[str, str]:
    """The Debian mirrors that this host's apt uses, by pocket. A pocket that it does not use is missing."""
    found: dict[str, str] = {}
    for uri, suite, components in configured_sources():
        pocket = next((ending for ending in POCKETS if ending and suite.endswith(ending)), "")
        # Third parties use directories of that name too, but without a component main.
        if "main" in components and urlsplit(uri).path.rstrip("/").endswith(POCKETS[pocket]):
            found.setdefault(pocket, uri)
    return {pocket: found[pocket] for pocket in POCKETS if pocket in found}


def configured_sources() -> Iterator[tuple[str, str, list[str]]]:
    """(URI, suite, components) of every source of binary packages in apt's files of both formats (sources.list(5)).

    apt itself reports the sources only after fetching their lists, which a new container lacks.
    """
    for file in [APT_SOURCES / "sources.list", *sorted(APT_SOURCES.glob("sources.list.d/*"))]:
        text = file.read_text(errors="replace") if file.is_file() else ""
        text = re.sub(r"^#.*\n?", "", text, flags=re.MULTILINE)
        if file.suffix == ".list":
            for uri, suite, components in ONE_LINE.findall(text):
                yield uri, suite, components.split()
        elif file.suffix == ".sources":
            for stanza in re.split(r"\n\s*\n", text):
                fields = {name.lower(): value.split() for name, value in FIELD.findall(stanza)}
                if "deb" in fields.get("types", []) and fields.get("enabled") != ["no"]:
                    for uri, suite in itertools.product(fields.get("uris", []), fields.get("suites", [])):
                        yield uri, suite, fields.get("components", [])
