"""How images are built and slimmed: spec/builders.toml and spec/slimming.toml."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from hornet.spec.types import (
    Command,
    FileName,
    ImagePath,
    Line,
    Package,
    Positive,
    Script,
    Suite,
    Table,
    Token,
)

# mke2fs: a journal has at least 1,024 blocks of 4 KiB.
MIN_JOURNAL_MIB = 4
# A path within a package. It can't leave the package.
InnerPath = Annotated[str, Field(pattern=r"^[A-Za-z0-9_*@][A-Za-z0-9_.*@-]*(/[A-Za-z0-9_*@][A-Za-z0-9_.*@-]*)*$")]
# http(s)://, file:// or a path on this host.
Location = Annotated[Line, Field(pattern=r"^(https?://[!-~]+|(file://)?/[!-~]*)$")]
Sha512 = Annotated[str, Field(pattern=r"^[0-9a-f]{128}$")]


class NpmPackage(Table):
    """A package of the npm registry, pinned; `integrity` is from the registry (sha512, base64).

    `keep` are globs within the package. `entry` becomes the command `command`, if set.
    """

    package: Annotated[str, Field(pattern=r"^(@[a-z0-9~-][a-z0-9._~-]*/)?[a-z0-9~-][a-z0-9._~-]*$", max_length=214)]
    version: Annotated[str, Field(pattern=r"^[0-9A-Za-z][0-9A-Za-z.+-]*$", max_length=100)]
    integrity: Annotated[str, Field(pattern=r"^sha512-[A-Za-z0-9+/]{86}==$")]
    command: Command | None = None
    entry: InnerPath
    keep: list[InnerPath]
    guide: dict[Token, Line] = {}
    tiers: list[Token] = []


class Component(Table):
    """A component of an image: its packages and the paths taken from them (globs, {a,b} allowed).

    `files`: the directory of builders/rootfs/files/ that is added to it. `guide`: by tier, the row of the guide's table
    that it counts for.
    """

    tiers: list[Token]
    packages: list[Package] = []
    paths: list[ImagePath] = []
    files: FileName | None = None
    guide: dict[Token, Line] = {}


class Debian(Table):
    """How images are built from Debian packages. `mirror` defaults to the mirror in apt's configuration.

    `stub_libraries`: libraries that are replaced with stubs in images of the plain layout.
    """

    suite: Suite
    components: list[FileName]
    mirror: Location | None = None
    stub_libraries: list[Command]
    image_components: dict[Line, Component]


class Alpine(Table):
    """How images are built with apk (guide: Phase 2).

    `mirror`: http(s)://, file:// or a directory with the layout of Alpine's mirrors. `minirootfs`: Alpine's archive of
    that name, or a directory with its content. It contains apk and the keys that verify packages.
    """

    version: Annotated[str, Field(pattern=r"^[0-9]{1,3}\.[0-9]{1,3}$")]
    mirror: Location
    repositories: list[FileName]
    minirootfs: Location
    minirootfs_sha512: Sha512 | None = None
    packages: dict[Token, list[Package]]
    services: dict[FileName, list[FileName]]
    rc_sys: FileName
    cleanup: list[ImagePath]
    guide: dict[Package, Line]


class Squashfs(Table):
    """How /usr is compressed. block_kib: a power of two.

    uncompressed: for each program of an image, the files that its boot reads and that are stored as they are (globs,
    {a,b}).
    """

    block_kib: Literal[16, 32, 64, 128, 256, 512, 1024]
    zstd_level: Annotated[int, Field(ge=1, le=22)]
    uncompressed: dict[ImagePath, list[ImagePath]] = {}


# The distro that is none: the unslimmed image.
BASELINE = "baseline"


class Baseline(Table):
    """The unslimmed image that the guide starts from (guide: Phase 1): Debian as its installer leaves it.

    npm: names in [rootfs.npm], installed whole.
    """

    size_mb: Positive
    memory_mib: Annotated[int, Field(ge=64)]
    packages: list[Package]
    npm: list[Line]
    services: list[FileName]


class SlimRemoval(Table):
    """Paths that phase 1 deletes inside the VM, as shell globs."""

    title: Line
    paths: list[Annotated[ImagePath, Field(pattern=r"^/[A-Za-z0-9_./*-]+$")]]


class SlimUse(Table):
    """A use that works in the baseline and that a removal may break. `script` exits 0 if it works."""

    title: Line
    script: Script


class Slim(Table):
    """Phase 1 of the guide. tools: names in [tools] that must work afterwards."""

    tools: list[Token]
    removals: dict[Token, SlimRemoval]
    uses: dict[Token, SlimUse]


class Rootfs(Table):
    """Settings of all image builders: timestamps, free space, file system layout."""

    source_date_epoch: Annotated[int, Field(ge=0, lt=1 << 32)]
    free_mb: dict[Token, Positive]
    inodes_spare: Annotated[int, Field(ge=0, le=1 << 20)]
    journal_mib: Annotated[int, Field(ge=MIN_JOURNAL_MIB, le=1024)]
    squashfs: Squashfs
    toolbox: list[Package]
    npm: dict[Line, NpmPackage]
    debian: Debian
    alpine: Alpine
    baseline: Baseline
