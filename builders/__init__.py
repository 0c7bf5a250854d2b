"""Builds and slims kernels, root file systems and snapshots, and computes their cache keys."""

from builders.downloads import check_download
from hornet.host.artifact_store import BEFORE_BUILD

# Whoever builds asks before a download; the store itself knows neither apt nor npm.
BEFORE_BUILD.append(check_download)
