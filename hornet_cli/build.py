"""`hornetos build kernel|rootfs|snapshot`: the three steps from sources and packages to a snapshot."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from builders.distros import DEFAULT_DISTRO, DISTROS
from hornet.spec.rootfs import BASELINE
from hornet_cli.context import Settings, settings
from hornet_cli.fleet import LaneName, choose_lane, fleet
from hornet_cli.printer import say

if TYPE_CHECKING:
    from builders.rootfs import RootfsArtifact

build = typer.Typer(help="Build a kernel, root file systems, a snapshot; existing artifacts are reused.")

# The guide's name of the kernel below images/ (Directory Structure).
PUBLISHED_KERNEL = "hornetos-vmlinux.bin"

Distro = Annotated[
    str, typer.Option(help=f"{', '.join(DISTROS)}, or {BASELINE}: the unslimmed image with which phase 1 starts.")
]
Source = Annotated[
    str | None, typer.Option(help="A name in kernel.sources of the spec, or the directory of a kernel tree.")
]


@build.command("kernel")
def build_the_kernel(ctx: typer.Context, source: Source = None) -> None:
    """Build the kernel (8 minutes on two cores) and publish it as images/hornetos-vmlinux.bin in HORNET_HOME."""
    from builders.kernel import build_kernel
    from hornet.host.durable import replace_link

    mine = settings(ctx)
    built = build_kernel(mine.spec, mine.workspace, mine.progress, source=source)
    published = mine.workspace.images / PUBLISHED_KERNEL
    replace_link(published, Path("..") / built.vmlinux.relative_to(mine.workspace.root))
    size_mb = built.vmlinux.stat().st_size / 1_000_000
    say(f"kernel: Linux {built.version}, {size_mb:.2f} MB, {published} → {built.vmlinux}")


@build.command("rootfs")
def build_the_rootfs(
    ctx: typer.Context,
    tier: Annotated[
        list[str] | None, typer.Option(help="micro, standard (default) or dev; repeat it to build several at once.")
    ] = None,
    distro: Distro = DEFAULT_DISTRO,
) -> None:
    """Build root file systems and show the sizes of their components beside the guide's."""
    mine = settings(ctx)
    for image in _images(mine, tier or [], distro):
        _show(mine, image)


@build.command("snapshot")
def build_the_snapshot(
    ctx: typer.Context,
    tier: Annotated[str | None, typer.Option(help="micro, standard (default) or dev.")] = None,
    distro: Distro = DEFAULT_DISTRO,
    source: Source = None,
    lane: LaneName = None,
) -> None:
    """Boot a kernel and an image once and keep the snapshot; both are built if they are missing."""
    from builders.kernel import build_kernel
    from builders.snapshots import build_snapshot

    mine = settings(ctx)
    kernel = build_kernel(mine.spec, mine.workspace, mine.progress, source=source).vmlinux
    (image,) = _images(mine, [tier] if tier else [], distro)
    name = image.manifest["tier"]
    with fleet(mine, choose_lane(mine, kernel, lane)) as vms:
        bundle = build_snapshot(vms, mine.progress, kernel=kernel, image=image.image, tier=name)
    say(f"snapshot: {name}, {bundle.directory}")


def _images(mine: Settings, tiers: Sequence[str], distro: str) -> list[RootfsArtifact]:
    """The images, several of them side by side: their work is done by other programs."""
    from builders.rootfs import build_rootfs
    from builders.rootfs.baseline import build_baseline

    if distro == BASELINE:
        if tiers:
            raise typer.BadParameter("the baseline is not a tier: omit --tier")
        return [build_baseline(mine.spec, mine.workspace, mine.progress)]
    for tier in tiers:
        mine.spec.tier(tier)
    with ThreadPoolExecutor() as pool:
        jobs = [
            pool.submit(build_rootfs, mine.spec, mine.workspace, mine.progress, tier=tier, distro=distro)
            for tier in dict.fromkeys(tiers or ["standard"])
        ]
        return [job.result() for job in jobs]


def _show(mine: Settings, image: RootfsArtifact) -> None:
    from hornet.checks.sizes import guide_comparison

    found = image.manifest
    say(
        f"{found['tier']} from {found['distro']}: {found['size_mb']:.1f} MB, {found['used_mb']:.1f} of them used, "
        f"{found['layout']} layout ({found['unpacked_mb']:.1f} MB unpacked), {image.image}"
    )
    tier = mine.spec.tiers.get(found["tier"])
    guide_mb = tier.components if tier else {}
    for row in guide_comparison(found["components_mb"], found.get("guide_components", {}), guide_mb):
        allowed = f"guide {row.guide_mb:g}" if row.guide_mb is not None else ""
        parts = f"({', '.join(row.parts)})" if row.parts != (row.name,) else ""
        say(f"  {row.found_mb:7.2f} MB  {row.name:<24} {allowed:<11} {parts}".rstrip())
