"""Builds and slims kernels, root file systems and snapshots, and computes their cache keys."""
