"""Builders of kernels and root file systems, their slimming, their cache keys."""
