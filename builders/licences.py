"""The licences of a Debian package, from its copyright file, as SPDX names where Debian's short names have one.

Debian: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/. A package has a licence for each of its
files, so this is a list of those that occur, no expression. A copyright file of another format often names the texts in
/usr/share/common-licenses. Otherwise the licence is unknown.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

FORMAT = re.compile(r"\AFormat:.*copyright-format", re.IGNORECASE)
FIELD = re.compile(r"^License:[ \t]*(\S.*)$", re.MULTILINE | re.IGNORECASE)
COMMON = re.compile(r"/usr/share/common-licenses/([A-Za-z0-9.+-]*[A-Za-z0-9+])")
SEPARATOR = re.compile(r"\s*,?\s+(?:and/or|and|or)\s+|\s*,\s*|\s*\|\s*")
GNU = re.compile(r"(A?GPL|LGPL|GFDL)-(\d)(?:\.(\d))?(?:\.0)?(\+)?", re.IGNORECASE)
# Debian's names that differ from SPDX in more than case.
SPDX = {"expat": "MIT", "apache-2": "Apache-2.0", "mpl-2": "MPL-2.0", "boost-1.0": "BSL-1.0", "psf-2": "PSF-2.0"}


def licences_of(copyright_text: str) -> tuple[str, ...]:
    """The licences that a copyright file names, sorted; none if it names none that can be recognized."""
    if FORMAT.search(copyright_text):
        return tuple(sorted({_spdx(name) for value in FIELD.findall(copyright_text) for name in _names(value)}))
    return tuple(sorted(set(COMMON.findall(copyright_text))))


def _names(value: str) -> Iterator[str]:
    yield from filter(None, (name.strip(" ()") for name in SEPARATOR.split(value)))


def _spdx(name: str) -> str:
    """The SPDX identifier, or the name as it is."""
    found = GNU.fullmatch(name)
    if found:
        family, major, minor, later = found.groups()
        return f"{family.upper()}-{major}.{minor or 0}-{'or-later' if later else 'only'}"
    return SPDX.get(name.lower(), name)
