"""Sound ext4 images: features that mkfs can give one, times the ordinary lives that it can have had.

Small, so that all of them are built and judged in about a minute.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from tests.support.ext4_samples import debugfs, mounted, run

SIZE, SIZES = "6M", {"4 KiB blocks": "10M"}
NO_UUID = "00000000-0000-0000-0000-000000000000"
# By name: options of mkfs.ext4. Where mkfs's configuration on this host differs, the option is still the last word.
FEATURES: dict[str, list[str]] = {
    "as this host makes them": [],
    "orphan_file": ["-O", "orphan_file"],
    "orphan_file, no checksums": ["-O", "orphan_file,^metadata_csum"],
    "^has_journal": ["-O", "^has_journal"],
    "ext2": ["-t", "ext2"],
    "ext3": ["-t", "ext3"],
    "ext3, small inodes, no UUID": ["-t", "ext3", "-I", "128", "-U", NO_UUID],
    "2 KiB blocks": ["-b", "2048", "-J", "size=2"],
    "4 KiB blocks": ["-b", "4096", "-J", "size=4"],
    "128-byte inodes": ["-I", "128"],
    "512-byte inodes": ["-I", "512"],
    "^metadata_csum": ["-O", "^metadata_csum"],
    "^metadata_csum, no UUID": ["-O", "^metadata_csum", "-U", NO_UUID],
    "no UUID": ["-U", NO_UUID],
    "uninit_bg": ["-O", "^metadata_csum,uninit_bg"],
    "metadata_csum_seed": ["-O", "metadata_csum_seed"],
    "casefold": ["-O", "casefold", "-E", "encoding=utf8"],
    "casefold, strict": ["-O", "casefold", "-E", "encoding=utf8,encoding_flags=strict"],
    "verity": ["-O", "verity"],
    "encrypt": ["-O", "encrypt"],
    "stable_inodes": ["-O", "stable_inodes,encrypt"],
    "inline_data": ["-O", "inline_data"],
    "bigalloc": ["-O", "bigalloc", "-C", "4096"],
    "large_dir": ["-O", "large_dir"],
    "ea_inode": ["-O", "ea_inode"],
    "quota": ["-O", "quota"],
    "project": ["-O", "quota,project", "-E", "quotatype=usrquota:grpquota:prjquota"],
    "fast_commit": ["-O", "fast_commit"],
    "fast_commit, orphan_file": ["-O", "fast_commit,orphan_file"],
    "sparse_super2": ["-O", "sparse_super2"],
    "meta_bg": ["-O", "meta_bg,^resize_inode"],
    "^flex_bg": ["-O", "^flex_bg"],
    "^64bit": ["-O", "^64bit"],
    "^resize_inode": ["-O", "^resize_inode"],
    "^huge_file, ^large_file, ^dir_nlink": ["-O", "^huge_file,^large_file,^dir_nlink"],
    "^extent": ["-O", "^extent,^64bit"],
    "^dir_index": ["-O", "^dir_index"],
    "^filetype": ["-O", "^filetype"],
    "^sparse_super": ["-O", "^sparse_super,^resize_inode"],
    "^ext_attr": ["-O", "^ext_attr"],
    "mmp": ["-O", "mmp"],
    "initialised later": ["-E", "lazy_itable_init=1,lazy_journal_init=1"],
    "packed": ["-E", "packed_meta_blocks=1"],
    "small groups": ["-g", "1024"],
    "striped": ["-E", "stride=4,stripe_width=8"],
    "made by a user, in another clock": ["-E", "root_owner=1000:1000"],
}
Life = Callable[[Path], None]


def make(features: str, image: Path) -> Path:
    """A new image with these features and some files."""
    tree = image.with_suffix(".tree")
    (tree / "d/e").mkdir(parents=True)
    for number in range(20):
        (tree / f"d/file{number}").write_bytes(bytes([65 + number]) * (150 * number + 20))
    (tree / "big").write_bytes(b"big" * 40_000)
    (tree / "link").symlink_to("d/file3")
    run("mkfs.ext4", "-q", "-F", "-N", "256", "-d", tree, *FEATURES[features], image, SIZES.get(features, SIZE))
    shutil.rmtree(tree)
    return image


def fresh(_image: Path) -> None:
    """Never mounted."""


def without_lost_and_found(image: Path) -> None:
    debugfs(image, "rmdir lost+found")


def _work_in(root: Path) -> None:
    """What a guest does: new files, a directory, a rename, a removal, holes, attributes."""
    (root / "new").mkdir()
    for number in range(30):
        (root / "new" / f"name-{number}").write_text("x" * number * 10)
    (root / "d/file1").unlink()
    (root / "d/file2").rename(root / "renamed")
    os.truncate(root / "big", 50_001)
    with (root / "holes").open("wb") as stream:
        stream.seek(100_000)
        stream.write(b"end")
    with suppress(OSError):
        os.setxattr(root / "renamed", "user.small", b"value")
    with suppress(OSError):
        os.setxattr(root / "holes", "user.large", b"v" * 900)


def _open_and_deleted(root: Path, count: int, stack: ExitStack) -> None:
    for number in range(count):
        stream = stack.enter_context((root / f"deleted{number}").open("wb"))
        stream.write(b"d" * 3000)
        stream.flush()
        (root / f"deleted{number}").unlink()


def unmounted(image: Path) -> None:
    with mounted(image) as root:
        _work_in(root)


def _copied(image: Path, root: Path) -> None:
    copy = image.with_suffix(".copy")
    run("cp", "--sparse=always", image, copy)
    copy.rename(image.with_suffix(".taken"))


def live(image: Path, deleted: int = 1) -> None:
    """A copy of a mounted disk, with files that are deleted and open."""
    with mounted(image) as root, ExitStack() as stack:
        _work_in(root)
        _open_and_deleted(root, deleted, stack)
        run("sync", "-f", root)
        _copied(image, root)
        stack.close()
    image.with_suffix(".taken").replace(image)


def many_orphans(image: Path) -> None:
    live(image, deleted=60)


def frozen(image: Path) -> None:
    with mounted(image) as root, ExitStack() as stack:
        _work_in(root)
        _open_and_deleted(root, 2, stack)
        run("fsfreeze", "--freeze", root)
        try:
            _copied(image, root)
        finally:
            run("fsfreeze", "--unfreeze", root)
        stack.close()
    image.with_suffix(".taken").replace(image)


def crashed(image: Path) -> None:
    """Not synced: the last changes are lost."""
    with mounted(image) as root:
        _work_in(root)
        run("sync", "-f", root)
        shutil.rmtree(root / "new")
        (root / "late").write_text("late")
        with (root / "late").open() as stream:
            os.fsync(stream.fileno())
        (root / "later").write_text("later")
        _copied(image, root)
    image.with_suffix(".taken").replace(image)


def _fill(root: Path) -> None:
    for number in range(10_000):
        (root / f"fill{number}").write_bytes(b"f" * 40_000)


def full(image: Path) -> None:
    with mounted(image) as root:
        _work_in(root)
        with pytest.raises(OSError, match="No space left"):
            _fill(root)
        run("sync", "-f", root)
        _copied(image, root)
    image.with_suffix(".taken").replace(image)


def read_only_again(image: Path) -> None:
    with mounted(image) as root:
        _work_in(root)
        run("mount", "-o", "remount,ro", root)
        _copied(image, root)
    image.with_suffix(".taken").replace(image)


def grown(image: Path) -> None:
    unmounted(image)
    os.truncate(image, image.stat().st_size + (12 << 20))
    run("resize2fs", "-f", image)


def shrunk(image: Path) -> None:
    run("resize2fs", "-f", "-M", image)


def tuned(image: Path) -> None:
    run("tune2fs", "-L", "other", "-c", "7", "-m", "1", "-e", "remount-ro", "-E", "hash_alg=tea", image)


def forced(image: Path) -> None:
    unmounted(image)
    run("tune2fs", "-E", "force_fsck", image)


def new_uuid(image: Path) -> None:
    run("tune2fs", "-f", "-U", "random", image)


def journal_removed(image: Path) -> None:
    run("tune2fs", "-O", "^has_journal", image)


def journal_added(image: Path) -> None:
    run("tune2fs", "-O", "^has_journal", image)
    run("tune2fs", "-j", image)


def quota_added(image: Path) -> None:
    run("tune2fs", "-O", "quota", image)


def reordered(image: Path) -> None:
    unmounted(image)
    done = subprocess.run(["e2fsck", "-fyD", image], capture_output=True, check=False)
    assert done.returncode in (0, 1), done.stdout


LIVES: dict[str, Life] = {
    function.__name__: function
    for function in (
        *(fresh, without_lost_and_found, unmounted, live, many_orphans, frozen, crashed, full, read_only_again),
        *(grown, shrunk, tuned, forced, new_uuid, journal_removed, journal_added, quota_added, reordered),
    )
}
# Each set of features has had these lives; those of THOROUGH have had all.
COMMON = (live, frozen)
THOROUGH = ("orphan_file", "^metadata_csum, no UUID")
# tune2fs 1.47.0 gives the orphan file's blocks no new checksums, and no kernel mounts the result.
UNSOUND = {("orphan_file", "new_uuid")}
# A second host may write to it.
IN_USE = {("mmp", life) for life in ("live", "frozen")}


def lives_of(features: str) -> list[str]:
    """The names of the lives that images with these features have in the matrix."""
    wanted = LIVES if features in THOROUGH else [life.__name__ for life in COMMON]
    return [life for life in wanted if (features, life) not in UNSOUND]


# Damage that only the metadata shows, as by a writer who knew ext4 and not what the guest remembered.
DAMAGES: dict[str, str] = {
    "a file's inode cleared": "clri /d/file5",
    "a file's inode marked free": "freei /d/file6",
    "a name removed, its inode kept": "unlink /d/file7",
    "two files on the same blocks": "copy_inode /d/file15 /d/file16",
}
