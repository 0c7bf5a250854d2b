"""A root file system that all clones of a snapshot share: a file of the host in the guest's memory (virtio-pmem).

The kernel mounts it read-only with DAX, so that the guest reads it from the host's page cache. A program of the image
puts an overlay in memory over it (builders/rootfs/native/shared_root.c).

Source: Linux, Documentation/filesystems/dax.rst.
"""

from __future__ import annotations

from pathlib import Path

from hornet.errors import VMError
from hornet.formats.ext4.superblock import read_superblock

PROGRAM = "/usr/lib/hornetos/shared_root"
# noload: the guest must not replay a journal that it can't write.
DEVICE_ARGS = "root=/dev/pmem0 rootfstype=ext4 rootflags=dax=always,noload"
PAGE_BYTES = 4096


def shared_root_args(boot_args: str) -> str:
    """The boot arguments that come after the others. With `ro` in those, the guest gets no overlay and can't write."""
    written = [word for word in boot_args.split() if word in ("ro", "rw")]
    return f"{DEVICE_ARGS} ro" if written[-1:] == ["ro"] else f"{DEVICE_ARGS} ro init={PROGRAM}"


def check_image(image: Path) -> None:
    """Raises VMError for an image that a guest can't mount with DAX, or only by writing, Ext4Error for another file."""
    superblock = read_superblock(image)
    problem = ""
    if superblock.block_bytes != PAGE_BYTES:
        problem = f"blocks of {superblock.block_bytes} bytes, expected {PAGE_BYTES}"
    elif superblock.needs_recovery:
        problem = "its journal must be replayed, which needs a disk of its own"
    if problem:
        raise VMError(
            f"{image}: can't be a shared root: {problem}", f"repair a copy: e2fsck -fy {image.name}; or build it"
        )
