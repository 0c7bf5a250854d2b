"""The part of the specification that says how images are built: [rootfs] of hornetos.toml."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from hornet.spec_types import Pattern, Positive, Table

Sha512 = Annotated[str, Field(pattern=r"^[0-9a-f]{128}$")]


class NpmPackage(Table):
    """A package of the npm registry, pinned; `integrity` is the registry's own (sha512, base64).

    `keep` are globs within the package. `entry` becomes the command `command`, if there is one.
    """

    package: str
    version: str
    integrity: Annotated[str, Field(pattern=r"^sha512-[A-Za-z0-9+/]+=*$")]
    command: str | None = None
    entry: str
    keep: list[str]
    guide: dict[str, str] = {}
    tiers: list[str] = []


class Keep(Table):
    """A component of an image: the packages that it comes from and the paths taken (globs, {a,b} allowed).

    `files`: the directory of builders/rootfs/files/ that comes with it. `guide`: by tier, the row of the guide's table
    that it counts for.
    """

    tiers: list[str]
    packages: list[str] = []
    paths: list[str] = []
    files: str | None = None
    guide: dict[str, str] = {}


class Debian(Table):
    """How images are built from Debian packages. `mirror`: default is the one that apt is configured with.

    By tier: `refusing`, libraries replaced by ones that do nothing; `trimmed`, paths of libraries that lose the names
    that nothing else in the image knows, but for those that `trim_keeps` matches.
    """

    suite: str
    components: list[str]
    mirror: str | None = None
    refusing: dict[str, list[str]]
    trimmed: dict[str, list[str]]
    trim_keeps: Pattern
    keep: dict[str, Keep]


class Alpine(Table):
    """How images are built with apk (guide: Phase 2).

    `mirror`: http(s)://, file:// or a directory, of the layout of Alpine's own mirrors. `minirootfs`: Alpine's own
    archive of that name, or a directory that holds its content; it has apk and the keys that packages are checked with.
    """

    version: Annotated[str, Field(pattern=r"^\d+\.\d+$")]
    mirror: str
    repositories: list[str]
    minirootfs: str
    minirootfs_sha512: Sha512 | None = None
    packages: dict[str, list[str]]
    services: dict[str, list[str]]
    rc_sys: str
    cleanup: list[str]
    guide: dict[str, str]


class Baseline(Table):
    """The unslimmed image that the guide starts from (guide: Phase 1): Debian as its installer leaves it."""

    size_mb: Positive
    memory_mib: Annotated[int, Field(ge=64)]
    packages: list[str]
    npm: dict[str, NpmPackage]
    services: list[str]


class SlimRemoval(Table):
    """What phase 1 deletes inside the VM: shell globs."""

    title: str
    paths: list[Annotated[str, Field(pattern=r"^/[\w./*-]+$")]]


class SlimUse(Table):
    """Something that worked in the baseline and that a removal may break. `script` exits 0 if it works."""

    title: str
    script: str


class Slim(Table):
    """Phase 1 of the guide. tools: names in [tools] that must work afterwards."""

    tools: list[str]
    removals: dict[str, SlimRemoval]
    uses: dict[str, SlimUse]


class Rootfs(Table):
    """What every image builder is told: time stamps, room, file system layout."""

    source_date_epoch: int
    free_mb: dict[str, Positive]
    inodes_spare: int
    journal_mib: Annotated[int, Field(ge=1)]
    toolbox: list[str]
    npm: dict[str, NpmPackage]
    debian: Debian
    alpine: Alpine
    baseline: Baseline
