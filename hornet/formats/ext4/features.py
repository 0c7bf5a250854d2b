"""Features of ext4 by name, and since when e2fsprogs knows them (e2fsprogs: lib/ext2fs/ext2_fs.h, release notes)."""

from __future__ import annotations

from hornet.formats.ext4.superblock import FEATURE_OFFSETS, Superblock

# The features of each kind that every e2fsck since 1.43 knows.
_OLD = {"compatible": 0x23F, "incompatible": 0x1A3DE, "read-only compatible": 0x377B}
# By kind and bit: name, version.
_NEWER = {
    ("compatible", 0x400): ("fast_commit", (1, 46, 0)),
    ("compatible", 0x800): ("stable_inodes", (1, 46, 0)),
    ("compatible", 0x1000): ("orphan_file", (1, 47, 0)),
    ("incompatible", 0x400): ("ea_inode", (1, 44, 0)),
    ("incompatible", 0x4000): ("large_dir", (1, 44, 0)),
    ("incompatible", 0x20000): ("casefold", (1, 46, 0)),
    ("read-only compatible", 0x4000): ("shared_blocks", (1, 45, 0)),
    ("read-only compatible", 0x8000): ("verity", (1, 45, 0)),
    ("read-only compatible", 0x10000): ("orphan_present", (1, 47, 0)),
}
# No later one knows more, when this was written.
_LAST = (1, 47, 4)


def unknown_features(superblock: Superblock, version: tuple[int, ...]) -> list[str]:
    """The features that e2fsck of this version does not know, each with the version that it needs."""
    found = []
    for kind in FEATURE_OFFSETS:
        bits = superblock.features(kind) & ~_OLD[kind]
        for bit in (1 << place for place in range(32) if bits >> place & 1):
            name, since = _NEWER.get((kind, bit), (f"{kind} {bit:#x}", None))
            if since is None:
                found.append(f"{name} (needs an e2fsprogs later than {as_text(_LAST)})")
            elif version < since:
                found.append(f"{name} (needs e2fsprogs {as_text(since)})")
    return found


def as_text(version: tuple[int, ...]) -> str:
    """(1, 47, 2) → 1.47.2."""
    return ".".join(map(str, version))
