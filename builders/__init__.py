"""Builds and slims kernels, root file systems and snapshots, and computes their cache keys."""

from builders.downloads import check_download
from hornet.host.artifact_store import BEFORE_BUILD

# Builders check the registry before a download; the artifact store does not depend on apt or npm.
BEFORE_BUILD.append(check_download)
