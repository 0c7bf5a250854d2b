"""Snapshots on disk: the bundle of three files, its seals, compatibility, publishing (guide: The Golden Rule)."""

from hornet.snapshot.bundle import Bundle, open_bundle
from hornet.snapshot.manifest import Manifest, Origin
from hornet.snapshot.publish import production, publishing, switch_production

__all__ = ["Bundle", "Manifest", "Origin", "open_bundle", "production", "publishing", "switch_production"]
