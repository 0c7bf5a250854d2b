"""Sizes: what is within its limit passes, what is a little above fails and says by how much and what is biggest."""

from __future__ import annotations

from pathlib import Path

import pytest

from hornet.checks import sizes
from hornet.spec.model import KERNEL_METRIC, load_spec

SPEC = load_spec()
KERNEL_TARGET_MB = SPEC.target(KERNEL_METRIC)
LITTLE_BYTES = 100_000


def file_of(path: Path, size_bytes: int) -> float:
    """A file of that size, all holes, and what the checks think that it takes."""
    with path.open("wb") as stream:
        stream.truncate(size_bytes)
    return sizes.size_mb(path)


@pytest.mark.parametrize("tier_name", SPEC.tiers)
def test_oversized_image_is_rejected(tier_name: str, tmp_path: Path) -> None:
    tier = SPEC.tier(tier_name)
    limit_bytes = int(tier.max_mb * sizes.MB)
    components_mb = {"Git": 10.0, "Node.js 20": 66.5}
    assert sizes.rootfs_size_problems(tier, file_of(tmp_path / "image", limit_bytes), components_mb) == []
    found_mb = file_of(tmp_path / "image", limit_bytes + LITTLE_BYTES)
    (problem,) = sizes.rootfs_size_problems(tier, found_mb, components_mb)
    assert f"at most {tier.max_mb:g} MB allowed, 0.1 MB too large; largest: Node.js 20 66.5 MB, Git 10.0 MB" in problem


def test_oversized_kernel_is_rejected(tmp_path: Path) -> None:
    limit_bytes = int(KERNEL_TARGET_MB * sizes.MB)
    assert sizes.kernel_size_problems(KERNEL_TARGET_MB, file_of(tmp_path / "vmlinux", limit_bytes)) == []
    (problem,) = sizes.kernel_size_problems(KERNEL_TARGET_MB, file_of(tmp_path / "vmlinux", limit_bytes + LITTLE_BYTES))
    assert f"8.10 MB, at most {KERNEL_TARGET_MB:g} MB allowed" in problem
