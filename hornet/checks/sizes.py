"""Sizes against the spec (guide: Target Metrics, HornetOS Tiers). MB is 10^6 bytes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from hornet.checks.check import check
from hornet.spec.tiers import Tier

MB = 1_000_000


@dataclass(frozen=True)
class ComponentRow:
    """A row of the guide's component table, or a component without a row there. parts: the components counted."""

    name: str
    found_mb: float
    guide_mb: float | None
    parts: tuple[str, ...]


def size_mb(path: Path) -> float:
    """A file's apparent size in MB: the bytes that are copied, hashed and shipped, holes included."""
    return path.stat().st_size / MB


@check("rootfs_size")
def rootfs_size_problems(tier: Tier, found_mb: float, components_mb: Mapping[str, float]) -> list[str]:
    """An image larger than its tier allows. The problem names the largest components if they are known."""
    if found_mb <= tier.max_mb:
        return []
    biggest = sorted(components_mb.items(), key=lambda item: -item[1])[:5]
    detail = "; largest: " + ", ".join(f"{name} {mb:.1f} MB" for name, mb in biggest) if biggest else ""
    over_mb = found_mb - tier.max_mb
    return [f"{tier.title}: {found_mb:.1f} MB, at most {tier.max_mb:g} MB allowed, {over_mb:.1f} MB too large{detail}"]


def guide_comparison(
    components_mb: Mapping[str, float], guide_rows: Mapping[str, str], guide_mb: Mapping[str, float]
) -> list[ComponentRow]:
    """The components of an image by row of the guide's table, largest first.

    guide_rows: the row that a component counts for. The guide's figures are not limits: only the tier's size is.
    """
    parts: dict[str, list[str]] = {}
    for component in components_mb:
        parts.setdefault(guide_rows.get(component, component), []).append(component)
    rows = [
        ComponentRow(name, sum(components_mb[part] for part in members), guide_mb.get(name), tuple(members))
        for name, members in parts.items()
    ]
    return sorted(rows, key=lambda row: -row.found_mb)


@check("kernel_size")
def kernel_size_problems(target_mb: float, found_mb: float) -> list[str]:
    """A kernel larger than the target."""
    if found_mb <= target_mb:
        return []
    return [f"vmlinux: {found_mb:.2f} MB, at most {target_mb:g} MB allowed"]
