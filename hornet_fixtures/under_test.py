"""The artifacts under test: built ones, those given with --image and --kernel, or the snapshot of --snapshot."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from hornet.errors import SnapshotError
from hornet.foreign_file import ForeignFileError, open_foreign
from hornet.formats.archives.source import ImageSource, Kind, parse_source
from hornet.formats.ext4.superblock import MAX_IMAGE_BYTES
from hornet.formats.kernel_file import require_vmlinux
from hornet.host.artifact_store import file_sha256
from hornet.host.progress import Progress
from hornet.host.workspace import Workspace
from hornet.procedures.judge_image import ImageProblems, judge_source
from hornet.snapshot import Bundle, open_bundle
from hornet.spec.model import Spec
from hornet.spec.tiers import Root, Tier
from hornet.vm.fleet import Fleet
from hornet_fixtures.tiers import built_tier, judged_tier


@dataclass(frozen=True)
class Image:
    """A root file system. manifest: the builder's manifest; empty for an image that was made elsewhere.

    root: how a VM that boots it gets it, see Fleet.boot().
    """

    source: ImageSource
    manifest: dict[str, Any]
    root: Root

    @property
    def path(self) -> Path:
        """The ext4 file. For an image of another kind, the test is skipped as not judged."""
        if not self.source.boots:
            pytest.skip(self.source.why_not_judged)
        return self.source.path


@pytest.fixture(scope="session")
def tier_name(pytestconfig: pytest.Config) -> str:
    """The tier to judge by."""
    return judged_tier(pytestconfig)


@pytest.fixture(scope="session")
def tier(spec: Spec, tier_name: str) -> Tier:
    """The rules of the tier to judge by."""
    return spec.tier(tier_name)


@pytest.fixture(scope="session")
def kernel(pytestconfig: pytest.Config, spec: Spec, workspace: Workspace, progress: Progress) -> Path:
    """The vmlinux: --kernel; with --snapshot the kernel that it booted, from HORNET_HOME; else built from the spec.

    A given image that does not boot brings none, and none is built for it.
    """
    given, snapshot = pytestconfig.getoption("kernel"), pytestconfig.getoption("snapshot")
    if snapshot:
        booted = open_bundle(Path(snapshot), spec.snapshot).manifest().origin.kernel_sha256
        return kernel_of_snapshot(workspace, booted, require_vmlinux(_existing(given, "--kernel")) if given else None)
    if given:
        return require_vmlinux(_existing(given, "--kernel"))
    source = given_source(pytestconfig)
    if source and not source.boots:
        pytest.skip(f"not judged: {source} brings no kernel: name it with --kernel=FILE")
    # The builders are loaded where something is built: that takes a third of a second, and most runs build nothing.
    from builders.kernel import build_kernel

    return build_kernel(spec, workspace, progress).vmlinux


@pytest.fixture(scope="session")
def image(pytestconfig: pytest.Config, spec: Spec, workspace: Workspace, progress: Progress) -> Image:
    """The root file system: that of --snapshot, or --image, else built from the spec."""
    snapshot, given = pytestconfig.getoption("snapshot"), given_source(pytestconfig)
    if snapshot:
        found = open_bundle(Path(snapshot), spec.snapshot)
        return Image(ImageSource(Kind.EXT4, found.rootfs), {}, found.manifest().origin.root)
    tier = built_tier(pytestconfig)
    if given:
        if given.boots:
            _existing(str(given.path), "--image")
        return Image(given.resolved(), {}, spec.root_of(tier))
    from builders.images import build_image

    distro = pytestconfig.getoption("distro")
    built = build_image(spec, workspace, progress, tier=tier, distro=distro)
    return Image(ImageSource(Kind.EXT4, built.image), built.manifest, spec.root_of(tier))


def given_source(config: pytest.Config) -> ImageSource | None:
    """What --image names."""
    given = config.getoption("image")
    return parse_source(given) if given else None


@pytest.fixture(scope="session")
def image_problems(image: Image, spec: Spec, tier: Tier, workspace: Workspace) -> ImageProblems:
    """The problems that the checks without a VM find in the image's files, by check."""
    return judge_source(image.source, spec, tier.exempt_from_removals, workspace.run)


@pytest.fixture(scope="session")
def bundle(
    pytestconfig: pytest.Config,
    spec: Spec,
    fleet: Fleet,
    progress: Progress,
    request: pytest.FixtureRequest,
) -> Bundle:
    """The snapshot: --snapshot, else one of the kernel and the image, which is built once and cached."""
    snapshot = pytestconfig.getoption("snapshot")
    if snapshot:
        given = open_bundle(Path(snapshot), spec.snapshot)
        _check_origin(given, fleet)
        return given
    from builders.snapshots import build_snapshot

    kernel, image = request.getfixturevalue("kernel"), request.getfixturevalue("image")
    tier = built_tier(pytestconfig)
    # An image made elsewhere does not print the ready signal on its console.
    ready_signal = bool(image.manifest)
    return build_snapshot(fleet, progress, kernel=kernel, image=image.path, tier=tier, ready_signal=ready_signal)


def _check_origin(bundle: Bundle, fleet: Fleet) -> None:
    origin = bundle.manifest().origin
    if origin.lane != str(fleet.lane):
        raise SnapshotError(
            f"{bundle.directory}: taken in lane {origin.lane}, this run uses {fleet.lane}", f"use --lane {origin.lane}"
        )
    if origin.ssh_public_blob not in (None, fleet.key.public_blob):
        raise SnapshotError(
            f"{bundle.directory}: its guest does not accept the key {fleet.key.private_path}",
            "name the private key that it accepts: --ssh-key=FILE",
        )


def kernel_of_snapshot(workspace: Workspace, booted: str | None, given: Path | None) -> Path:
    """The vmlinux with the hash `booted`. Without it the test is skipped as not judged; a restore needs no vmlinux."""
    if given:
        if booted not in (None, file_sha256(given)):
            raise pytest.UsageError(f"--kernel {given}: not the kernel that the snapshot booted (SHA-256 {booted})")
        return given
    for found in workspace.build.glob("kernel/*/vmlinux"):
        if file_sha256(found) == booted:
            return found
    pytest.skip("not judged: the snapshot's vmlinux is not in HORNET_HOME; name it with --kernel=FILE")


def _existing(path: str, option: str) -> Path:
    try:
        with open_foreign(Path(path), MAX_IMAGE_BYTES):
            return Path(path).resolve()
    except ForeignFileError as error:
        raise pytest.UsageError(f"{option} {error.message}") from error
