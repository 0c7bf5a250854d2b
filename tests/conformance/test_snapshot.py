"""The snapshot is three files that belong together, its disk sound (guide: The Golden Rule, Snapshot Anatomy)."""

from __future__ import annotations

import pytest

from hornet.ext4.superblock import read_superblock
from hornet.snapshot import Bundle
from hornet_fixtures.recording import bundle_facts

pytestmark = pytest.mark.conformance


@pytest.mark.guide("files-three", "sop-validate-files")
def test_the_three_files_are_there(bundle: Bundle) -> None:
    bundle.check_files()


@pytest.mark.guide("rootfs-never-changed")
def test_every_byte_is_as_it_was_sealed(bundle: Bundle, artifacts) -> None:
    bundle.check_full()
    artifacts("snapshot", bundle_facts(bundle))


@pytest.mark.guide("sop-validate-filesystem")
def test_the_disk_is_whole(bundle: Bundle) -> None:
    assert bundle.rootfs.stat().st_size >= read_superblock(bundle.rootfs).size_bytes
