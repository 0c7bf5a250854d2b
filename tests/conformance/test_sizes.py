"""Sizes: the image fits its tier, the kernel meets its target (guide: Target Metrics, HornetOS Tiers)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hornet.checks import sizes
from hornet.errors import SnapshotError
from hornet.host.artifact_store import file_sha256
from hornet.results.records import Record
from hornet.snapshot.bill import bill_of, licence_counts
from hornet.spec.model import KERNEL_METRIC, Spec
from hornet.spec.tiers import Tier
from hornet_fixtures.assertions import assert_no_problems
from hornet_fixtures.under_test import Image

pytestmark = pytest.mark.conformance


@pytest.mark.requirement("tier-size", "target-rootfs-size")
def test_image_fits_its_tier(
    tier: Tier,
    tier_name: str,
    image: Image,
    spec: Spec,
    pytestconfig: pytest.Config,
    record: Callable[..., Record],
    artifacts: Callable[[str, dict[str, Any]], None],
) -> None:
    found_mb = sizes.size_mb(image.path)
    sha256 = file_sha256(image.path)
    record("rootfs_size", found_mb, dimensions={"tier": tier_name}, subject={"rootfs": sha256})
    known = image.manifest or {"tier": tier_name, "sha256": sha256}
    snapshot = pytestconfig.getoption("snapshot")
    licences = _licences(Path(snapshot) if snapshot else image.path, spec)
    artifacts("rootfs", {**known, "size_mb": found_mb, "licences": licences})
    assert_no_problems(sizes.rootfs_size_problems(tier, found_mb, image.manifest.get("components_mb", {})))


@pytest.mark.requirement("target-kernel-size")
def test_kernel_meets_its_size_target(
    spec: Spec, kernel: Path, record: Callable[..., Record], artifacts: Callable[[str, dict[str, Any]], None]
) -> None:
    found_mb = sizes.size_mb(kernel)
    sha256 = file_sha256(kernel)
    record("kernel_size", found_mb, subject={"kernel": sha256})
    artifacts("kernel", {"size_mb": found_mb, "sha256": sha256, "licences": _licences(kernel, spec)})
    assert_no_problems(sizes.kernel_size_problems(spec.target(KERNEL_METRIC), found_mb))


def _licences(artifact: Path, spec: Spec) -> dict[str, int] | str:
    """For the report: packages by licence, or why they are unknown."""
    try:
        return licence_counts(bill_of(artifact, spec.snapshot))
    except SnapshotError as error:
        return error.message
