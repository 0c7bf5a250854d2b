"""The compressed layout: /usr becomes a squashfs file in the root file system, and /sbin/init a program that mounts it.

squashfs with zstd, because it is smallest: see docs/images.md. native/mount_usr.c says how the guest uses the layout.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path

from builders.rootfs.image import write_tar
from builders.rootfs.native import compile_program
from builders.rootfs.selection import matches
from builders.rootfs.toolbox import Toolbox
from hornet.formats.overlay_tree import CHANGES, ID_IN_USR, ID_OF_CHANGES, USR_FILE
from hornet.formats.squashfs import SquashfsTree
from hornet.host.artifact_store import file_sha256
from hornet.spec.rootfs import Rootfs

# mount_usr.c executes it when /usr is mounted.
INIT = "usr/sbin/init"
DIRECTORIES = {"layers": 0o700, "layers/base": 0o755, "layers/work": 0o755, CHANGES.lstrip("/"): 0o755}


def compress_usr(rootfs: Rootfs, toolbox: Toolbox, root: Path, work: Path, *, as_installed: bool) -> dict[str, int]:
    """Replace root/usr by the compressed one. Returns the bytes that its files take there, by path in the image.

    as_installed: owners are kept (see Packing). Raises CommandError.
    """
    _move_init_into_usr(root)
    identity = _identity(rootfs, root, work, as_installed=as_installed)
    (root / "usr" / ID_IN_USR.lstrip("/")).write_text(identity)
    uncompressed = _read_by_boot(root, rootfs.squashfs.uncompressed)
    usr = (root / "usr").rename(work / "usr")
    for name, mode in DIRECTORIES.items():
        (root / name).mkdir()
        (root / name).chmod(mode)
    (root / ID_OF_CHANGES.lstrip("/")).write_text(identity)
    compressed = root / USR_FILE.lstrip("/")
    epoch_s = str(rootfs.source_date_epoch)
    options: list[str | Path] = [
        *("-noappend", "-quiet", "-no-progress", "-no-xattrs", *([] if as_installed else ["-all-root"])),
        *("-comp", "zstd", "-Xcompression-level", str(rootfs.squashfs.zstd_level)),
        *("-b", f"{rootfs.squashfs.block_kib}K", "-mkfs-time", epoch_s, "-all-time", epoch_s),
        *(word for path in uncompressed for word in ("-action", f"uncompressed@pathname({path})")),
    ]
    toolbox.run("mksquashfs", usr, compressed, *options)
    compressed.chmod(0o644)
    shutil.rmtree(usr)
    _install_program(root)
    with compressed.open("rb") as stream:
        return {f"usr{path}": size for path, size in SquashfsTree(stream, compressed.name).stored_bytes().items()}


def _read_by_boot(root: Path, patterns_by_program: Mapping[str, Iterable[str]]) -> list[str]:
    """The regular files of /usr that a boot reads because of the programs that the image has, as paths in /usr."""
    wanted = (patterns for program, patterns in patterns_by_program.items() if (root / program.lstrip("/")).exists())
    found = sorted({path for patterns in wanted for pattern in patterns for path in matches(root, pattern)})
    regular = (path for path in found if (root / path).is_file() and not (root / path).is_symlink())
    return [path.removeprefix("usr/") for path in regular]


def _move_init_into_usr(root: Path) -> None:
    """Where /sbin is not a link to /usr/sbin, as in Alpine."""
    if not (root / "sbin").is_symlink():
        (root / INIT).parent.mkdir(parents=True, exist_ok=True)
        (root / "sbin/init").rename(root / INIT)


def program_path(root: Path) -> Path:
    """Where the program that mounts /usr is in a tree of the compressed layout."""
    return root / INIT if (root / "sbin").is_symlink() else root / "sbin/init"


def _install_program(root: Path) -> None:
    program = program_path(root)
    (root / "usr").mkdir()
    program.parent.mkdir(parents=True, exist_ok=True)
    compile_program("mount_usr.c", program, "-static")
    for path in (root / "usr", program.parent, program):
        path.chmod(0o755)


def _identity(rootfs: Rootfs, root: Path, work: Path, *, as_installed: bool) -> str:
    """A line that is different for each content of /usr."""
    archive = work / "usr.tar"
    write_tar(root / "usr", archive, rootfs.source_date_epoch, as_installed=as_installed)
    identity = file_sha256(archive)
    archive.unlink()
    return f"{identity}\n"
