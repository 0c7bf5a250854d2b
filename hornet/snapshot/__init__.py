"""Snapshots: the atomic bundle of three files, its seals, and how it is taken (guide: The Golden Rule)."""

from hornet.snapshot.bundle import Bundle, open_bundle, publishing
from hornet.snapshot.manifest import Manifest, Origin

__all__ = ["Bundle", "Manifest", "Origin", "open_bundle", "publishing"]
