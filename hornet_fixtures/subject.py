"""What is judged: a built image, one given by --image and --kernel, or a finished snapshot given by --snapshot."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from builders.kernel import build_kernel
from builders.rootfs import build_rootfs
from builders.snapshots import build_snapshot
from hornet.errors import SnapshotError
from hornet.fleet import Fleet
from hornet.home import Home
from hornet.image import ImageTree, unpacked_image
from hornet.progress import Progress
from hornet.snapshot import Bundle, open_bundle
from hornet.spec import Spec, Tier


@dataclass(frozen=True)
class Image:
    """A root file system. manifest: what its builder knows of it; empty for one made elsewhere."""

    path: Path
    manifest: dict[str, Any]


@pytest.fixture(scope="session")
def tier_name(pytestconfig: pytest.Config, spec: Spec) -> str:
    """The tier to judge by."""
    name: str = pytestconfig.getoption("tier")
    spec.tier(name)
    return name


@pytest.fixture(scope="session")
def tier(spec: Spec, tier_name: str) -> Tier:
    """The tier's own rules."""
    return spec.tier(tier_name)


@pytest.fixture(scope="session")
def kernel(pytestconfig: pytest.Config, spec: Spec, home: Home, progress: Progress) -> Path:
    """The vmlinux: --kernel, else built from the spec."""
    given = pytestconfig.getoption("kernel")
    if given:
        return _existing(given, "--kernel")
    return build_kernel(spec, home, progress).vmlinux


@pytest.fixture(scope="session")
def image(pytestconfig: pytest.Config, spec: Spec, home: Home, progress: Progress, tier_name: str) -> Image:
    """The root file system: that of --snapshot, or --image, else built from the spec."""
    snapshot, given = pytestconfig.getoption("snapshot"), pytestconfig.getoption("image")
    if snapshot:
        return Image(open_bundle(Path(snapshot), spec.snapshot).rootfs, {})
    if given:
        return Image(_existing(given, "--image"), {})
    built = build_rootfs(spec, home, progress, tier=tier_name)
    return Image(built.image, built.manifest)


@pytest.fixture(scope="session")
def image_tree(image: Image, home: Home) -> Iterator[ImageTree]:
    """The image's files, for checks that need no VM."""
    with unpacked_image(image.path, home.run) as tree:
        yield tree


@pytest.fixture(scope="session")
def bundle(
    pytestconfig: pytest.Config,
    spec: Spec,
    fleet: Fleet,
    progress: Progress,
    tier_name: str,
    request: pytest.FixtureRequest,
) -> Bundle:
    """The snapshot: --snapshot, else one of the kernel and the image, made once and kept."""
    snapshot = pytestconfig.getoption("snapshot")
    if snapshot:
        given = open_bundle(Path(snapshot), spec.snapshot)
        _check_origin(given, fleet)
        return given
    kernel, image = request.getfixturevalue("kernel"), request.getfixturevalue("image")
    return build_snapshot(fleet, progress, kernel=kernel, image=image.path, tier=tier_name)


def _check_origin(bundle: Bundle, fleet: Fleet) -> None:
    origin = bundle.manifest().origin
    if origin.lane != str(fleet.lane):
        raise SnapshotError(
            f"{bundle.directory}: taken in lane {origin.lane}, this run uses {fleet.lane}", f"use --lane {origin.lane}"
        )


def _existing(path: str, option: str) -> Path:
    if not Path(path).is_file():
        raise pytest.UsageError(f"{option} {path}: no such file")
    return Path(path).resolve()
