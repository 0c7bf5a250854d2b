"""Opens the files of an image in the sandbox: an ext4 file, an OCI image layout, a tar or a directory."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

from hornet.errors import ImageError
from hornet.foreign_file import ForeignFileError, open_foreign
from hornet.formats.archives.directory import pack_directory
from hornet.formats.archives.layered_tree import LayeredTree
from hornet.formats.archives.oci_layout import open_oci
from hornet.formats.archives.source import ImageSource, Kind
from hornet.formats.archives.unpack import unpack
from hornet.formats.content import Chunk, chunks
from hornet.formats.ext4.checker import newest_e2fsck
from hornet.formats.ext4.examine import repair
from hornet.formats.ext4.reader import Ext4Reader
from hornet.formats.ext4.superblock import MAX_IMAGE_BYTES, NotExt4Error, read_superblock
from hornet.formats.ext4.verdict import private_copy
from hornet.formats.image_tree import ImageTree
from hornet.formats.overlay_tree import USR_FILE, has_compressed_usr, image_tree
from hornet.host.file_copy import data_ranges
from hornet.sandbox import Limits, confined

T = TypeVar("T")

FSCK_TIMEOUT_S = 120.0
# Enough for a check that reads every byte of a large image. It also ends a check of endless content.
LIMITS = Limits(time_s=600.0)
CONFIGURATION = "configuration"
# Every root file system has one of them. Without them, nothing that the spec forbids would be found either.
ROOT_DIRECTORIES = ("/usr", "/bin")
# What `docker save` and OCI tools write into a tar, which is then no root file system.
SAVED_IMAGE = ("/manifest.json", "/oci-layout")


@dataclass(frozen=True)
class OpenImage:
    """An image in the sandbox: its files, and the raw content of each place where deleted files can be."""

    tree: ImageTree
    places: Mapping[str, Iterable[Chunk]]


def with_image(
    function: Callable[..., T], arguments: Mapping[str, Any], source: ImageSource, work_directory: Path
) -> T:
    """Call `function(**arguments, opening=…, **descriptors)` in the sandbox; open_image() makes an image of the latter.

    A private copy, or what is unpacked, is an unnamed file in `work_directory`. Raises ImageError if the image cannot
    be read, SandboxError beyond the limits.
    """
    if source.kind is Kind.EXT4:
        return _with_ext4(function, arguments, source.path, work_directory)
    with ExitStack() as stack:
        inputs: dict[str, BinaryIO] = {}
        if source.kind is Kind.OCI:
            image = stack.enter_context(open_oci(source.path))
            layers, names = image.layers, [f"layer {digest[:19]}" for digest in image.digests]
            inputs[CONFIGURATION] = image.config
        else:
            layers, names = [_archive(source, work_directory, stack)], ["the archive"]
        inputs |= {f"layer_{number}": layer for number, layer in enumerate(layers)}
        copies = {f"unpacked_{number}": _temporary(work_directory, stack) for number in range(len(layers))}
        free = os.statvfs(work_directory)
        room_bytes = free.f_bavail * free.f_frsize // 2
        opening = {"kind": source.kind, "names": names, "room_bytes": room_bytes}
        limits = Limits(
            time_s=LIMITS.time_s, file_bytes=room_bytes, open_files=LIMITS.open_files + len(inputs) + len(copies)
        )
        given = {**arguments, "opening": opening}
        return confined(function, given, what=str(source), limits=limits, inputs=inputs, copies=copies)


def _with_ext4(function: Callable[..., T], arguments: Mapping[str, Any], image: Path, work_directory: Path) -> T:
    with suppress(NotExt4Error):  # it may have a backup of the superblock
        read_superblock(image)
    with private_copy(image, work_directory) as copy:
        e2fsck = newest_e2fsck()
        opening = {"kind": Kind.EXT4, "command": list(e2fsck.command)}
        limits = LIMITS.writing(os.fstat(copy.fileno()).st_size)
        given = {**arguments, "opening": opening}
        copies = {"image": copy}
        return confined(function, given, what=str(image), limits=limits, copies=copies, programs=e2fsck.tree)


def _archive(source: ImageSource, work_directory: Path, stack: ExitStack) -> BinaryIO:
    """The open tar of a source; for a directory, a private one of its files."""
    if source.kind is Kind.TAR:
        try:
            return stack.enter_context(open_foreign(source.path, MAX_IMAGE_BYTES))
        except ForeignFileError as error:
            raise ImageError(error.message, error.hint) from error
    packed = _temporary(work_directory, stack)
    pack_directory(source.path, packed)
    return packed


def _temporary(work_directory: Path, stack: ExitStack) -> BinaryIO:
    try:
        return stack.enter_context(tempfile.TemporaryFile(dir=work_directory))
    except OSError as error:
        raise ImageError(f"{work_directory}: no temporary file can be made: {error.strerror}", "free space") from error


@contextmanager
def open_image(opening: Mapping[str, Any], descriptors: Mapping[str, int]) -> Iterator[OpenImage]:
    """In the sandbox: the image that with_image() was given. Raises ImageError if it has no root file system."""
    if opening["kind"] == Kind.EXT4:
        image = descriptors["image"]
        repair(image, opening["command"], FSCK_TIMEOUT_S)
        with Ext4Reader(image) as fs:
            tree = image_tree(fs)
            _require_root_file_system(tree)
            yield OpenImage(tree, {"the image, in a deleted file or unused space": _raw(image)})
        return
    layers, room_bytes = [], opening["room_bytes"]
    for number in range(len(opening["names"])):
        packed, unpacked = descriptors[f"layer_{number}"], descriptors[f"unpacked_{number}"]
        size_bytes = unpack(packed, unpacked, room_bytes)
        layers.append(packed if size_bytes is None else unpacked)
        room_bytes -= size_bytes or 0
    tree = LayeredTree(layers, whiteouts=opening["kind"] == Kind.OCI)
    _require_root_file_system(tree)
    if USR_FILE in tree.entries:
        raise ImageError(f"{USR_FILE}: a compressed /usr, which is judged in an ext4 image only", "name rootfs.ext4")
    yield OpenImage(tree, _places(opening, layers, descriptors))


def is_compressed(source: ImageSource, work_directory: Path) -> bool:
    """Whether an image has the compressed layout, which only an ext4 file can have. Raises as with_image()."""
    return source.kind is Kind.EXT4 and with_image(compressed_ext4, {}, source, work_directory)


def compressed_ext4(opening: Mapping[str, Any], image: int) -> bool:
    """The sandboxed part of is_compressed()."""
    repair(image, opening["command"], FSCK_TIMEOUT_S)
    with Ext4Reader(image) as fs:
        return has_compressed_usr(fs)


def _places(
    opening: Mapping[str, Any], layers: list[int], descriptors: Mapping[str, int]
) -> dict[str, Iterable[Chunk]]:
    """What an archive holds beside its files: those that a later member or layer replaces, and the configuration.

    A directory has nothing of that kind.
    """
    if opening["kind"] == Kind.DIRECTORY:
        return {}
    places: dict[str, Iterable[Chunk]] = {
        f"{name}, in no file of the image": _raw(layer) for name, layer in zip(opening["names"], layers, strict=True)
    }
    if CONFIGURATION in descriptors:
        places["the image's configuration"] = _raw(descriptors[CONFIGURATION])
    return places


def _raw(descriptor: int) -> Iterator[Chunk]:
    return chunks(data_ranges(descriptor), lambda offset, length: os.pread(descriptor, length, offset))


def _require_root_file_system(tree: ImageTree) -> None:
    if any((real := tree.resolve(path)) and real in tree.entries for path in ROOT_DIRECTORIES):
        return
    if any(path in tree.entries for path in SAVED_IMAGE):
        raise ImageError(
            "a saved image (docker save, OCI archive), not a root file system",
            "skopeo copy docker-archive:FILE oci:DIR (or oci-archive:FILE), then judge oci:DIR",
        )
    top = sorted(path for path in tree.entries if path.count("/") == 1)
    raise ImageError(
        f"no root file system: no {' and no '.join(ROOT_DIRECTORIES)}; at its top: {', '.join(top[:8]) or 'nothing'}",
        "name what has the root directory at its top",
    )
