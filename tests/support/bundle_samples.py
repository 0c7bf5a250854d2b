"""Snapshots without a guest: a real ext4 image as the disk, random bytes as memory and state."""

from __future__ import annotations

import random
from pathlib import Path

from hornet.snapshot import Bundle, Origin, publishing
from hornet.spec.model import load_spec
from tests.support import ext4_samples

# The first message of a kernel's log, which every guest's memory holds.
KERNEL_BANNER = b"Linux version "
NAMES = load_spec().snapshot
ORIGIN = Origin(
    lane="qemu/tcg",
    vmm_version="7.2",
    cpu_model="some CPU",
    cpu_features_sha256="0" * 64,
    memory_mib=2,
    vcpus=1,
    kernel_sha256="1" * 64,
    kernel_release="6.1",
    tier="standard",
    spec_sha256="2" * 64,
    ssh_public_blob="AAAA",
    parent=None,
    adopted=False,
)


def fill(bundle: Bundle, seed: int = 0) -> None:
    """The three files, unsealed. The disk is that of a VM that was flushed and paused."""
    chance = random.Random(seed)
    ext4_samples.make_image(bundle.rootfs)
    ext4_samples.mark_as_mounted(bundle.rootfs, seed + 1)
    bundle.memory.write_bytes(KERNEL_BANNER + chance.randbytes((2 << 20) - len(KERNEL_BANNER)))
    bundle.state.write_bytes(chance.randbytes(12_000))


def make_bundle(directory: Path, seed: int = 0) -> Bundle:
    """A sealed and published snapshot."""
    with publishing(directory, NAMES) as bundle:
        fill(bundle, seed)
        bundle.seal(directory.name, ORIGIN)
    return Bundle(directory, NAMES)
