"""Where Debian's packages come from: the mirrors that this host's apt uses, for whichever suite an image is made of."""

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
# A suite's updates are suites of their own, named by an ending; security's are on a mirror of their own.
POCKETS = {"": "/debian", "-updates": "/debian", "-security": "/debian-security"}


def apt_sources(debian: Debian) -> list[str]:
    """The lines of sources.list for the spec's suite and its updates, as far as this host's apt has a mirror of them.

    With the spec's own mirror only that one; none where apt has no mirror of Debian: mmdebstrap then has its own
    default, which has the updates.
    """
    mirrors = {"": debian.mirror} if debian.mirror else configured_mirrors()
    if "" not in mirrors:
        return []
    components = " ".join(debian.components)
    return [f"deb [signed-by={KEYRING}] {uri} {debian.suite}{pocket} {components}" for pocket, uri in mirrors.items()]


def suites(debian: Debian) -> list[str]:
    """The suites of apt_sources(): what of them goes into the key of a layer. Which mirror has them does not count."""
    return [line.split()[3] for line in apt_sources(debian)]


def configured_mirrors() -> dict[str, str]:
    """The mirrors of Debian that this host's apt uses, by pocket; those that it does not use are left out."""
    found: dict[str, str] = {}
    for uri, suite, components in configured_sources():
        pocket = next((ending for ending in POCKETS if ending and suite.endswith(ending)), "")
        # Others keep packages for Debian below directories of that name too, but call no component main.
        if "main" in components and urlsplit(uri).path.rstrip("/").endswith(POCKETS[pocket]):
            found.setdefault(pocket, uri)
    return {pocket: found[pocket] for pocket in POCKETS if pocket in found}


def configured_sources() -> Iterator[tuple[str, str, list[str]]]:
    """(URI, suite, components) of every source of binary packages in apt's files of both formats (sources.list(5)).

    apt itself tells them only once it has fetched their lists, which a fresh container has not.
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
