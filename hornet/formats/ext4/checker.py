"""Which e2fsck judges: the newest at hand, because each finds damage that the ones before it do not know."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from hornet.formats.ext4.features import as_text
from hornet.host.environment import FIXED_LOCALE
from hornet.host.own_loader import own_loader
from hornet.host.workspace import Workspace

# The suite's own toolbox of the distribution from which images are built (builders/rootfs/toolbox.py).
TOOLBOXES = "toolbox"
_ARTIFACT = re.compile(r"[0-9a-f]{16}")
_PROGRAM = "usr/sbin/e2fsck"
_VERSION = re.compile(r"(\d{1,5})\.(\d{1,5})(?:\.(\d{1,5}))?")
# The sandbox's PATH: another e2fsck of this host is not visible there.
_PATH = "/usr/sbin:/usr/bin"
TIMEOUT_S = 20.0


@dataclass(frozen=True)
class E2fsck:
    """An e2fsck. command: how it is started; version: its numbers; tree: the directory that it needs, or None."""

    command: tuple[str, ...]
    version: tuple[int, ...]
    tree: Path | None

    def __str__(self) -> str:
        where = "the builders' toolbox" if self.tree else "this host"
        return f"e2fsck {as_text(self.version)} of {where}"


def newest_e2fsck() -> E2fsck:
    """The newest e2fsck of this host and of the toolboxes in HORNET_HOME; of equal ones, the host's."""
    found = [*_toolboxes(Workspace.from_env().root / "build" / TOOLBOXES), _of_host()]
    return max(found, key=lambda one: (one.version, one.tree is None))


@cache
def _of_host() -> E2fsck:
    """The host's; without a version if there is none, which is reported where it is started."""
    argv, environment = ["e2fsck", "-V"], {"PATH": _PATH, **FIXED_LOCALE}
    try:
        said = subprocess.run(
            argv, env=environment, capture_output=True, text=True, errors="replace", timeout=TIMEOUT_S, check=False
        ).stderr
    except (OSError, subprocess.TimeoutExpired):
        said = ""
    return E2fsck(("e2fsck",), parse_version(said), None)


def _toolboxes(parent: Path) -> Iterator[E2fsck]:
    for listing in sorted(parent.glob("*/versions.json")):
        tree = listing.with_name("tree")
        if not _ARTIFACT.fullmatch(listing.parent.name) or not (tree / _PROGRAM).is_file():
            continue
        try:
            version = parse_version(str(json.loads(listing.read_text())["e2fsprogs"]))
        except (OSError, ValueError, LookupError, TypeError):
            continue
        yield E2fsck(tuple(own_loader(tree, tree / _PROGRAM)), version, tree)


def parse_version(text: str) -> tuple[int, ...]:
    """The first version number in a text, without zeros at its end that are not there; () if there is none."""
    found = _VERSION.search(text)
    return tuple(int(part) for part in found.groups() if part is not None) if found else ()
