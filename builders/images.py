"""The image that --distro names: one of a distribution and a tier, or the unslimmed baseline."""

from __future__ import annotations

from builders.distros import DEFAULT_DISTRO
from builders.rootfs import RootfsArtifact, build_rootfs
from builders.rootfs.baseline import build_baseline
from hornet.host.progress import Progress
from hornet.host.workspace import Workspace
from hornet.spec.model import Spec
from hornet.spec.rootfs import BASELINE


def build_image(
    spec: Spec, workspace: Workspace, progress: Progress, *, tier: str, distro: str = DEFAULT_DISTRO
) -> RootfsArtifact:
    """The image, built if it is not in the store. The baseline is not of a tier: `tier` then only says how to judge it.

    Raises SpecError for an unknown tier or distro, BuildError if a download fails or the content does not fit.
    """
    if distro == BASELINE:
        return build_baseline(spec, workspace, progress)
    return build_rootfs(spec, workspace, progress, tier=tier, distro=distro)
