"""An OCI image layout: from its index to the layers of the image for x86-64, each compared with its digest.

Source: the OCI image specification (image-layout.md, descriptor.md, image-index.md, manifest.md).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from hornet.errors import ImageError
from hornet.foreign_file import ForeignFileError, first_problem, open_foreign, parse_json, read_json
from hornet.formats.ext4.superblock import MAX_IMAGE_BYTES

# The specification's advice for manifests; an index is smaller.
MAX_DOCUMENT_BYTES = 4 << 20
# overlayfs, and so every runtime, takes at most 128.
MAX_LAYERS = 128
MAX_NESTED = 4
CHUNK_BYTES = 1 << 20
PLATFORM = ("linux", "amd64")
_DIGEST = re.compile(r"(sha256):([0-9a-f]{64})|(sha512):([0-9a-f]{128})")
_INDEXES = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
)
_LAYER = re.compile(
    r"application/vnd\.(oci\.image\.layer(\.nondistributable)?\.v1\.tar(\+gzip|\+zstd)?"
    r"|docker\.image\.rootfs\.(foreign\.)?diff\.tar(\.gzip|\.zstd)?)"
)
REF_NAME = "org.opencontainers.image.ref.name"
REMEDY = "copy the image again: skopeo copy docker://NAME oci:DIR"


class _Document(BaseModel):
    """A document of a layout. Keys that the suite does not need are of no interest."""

    model_config = ConfigDict(extra="ignore", frozen=True)


Model = TypeVar("Model", bound=_Document)


class _Platform(_Document):
    os: str
    architecture: str


class _Descriptor(_Document):
    media_type: str = Field("", alias="mediaType", max_length=200)
    digest: str = Field(max_length=200)
    size: int = Field(ge=0, le=MAX_IMAGE_BYTES)
    platform: _Platform | None = None
    annotations: dict[str, str] = {}


class _Index(_Document):
    manifests: list[_Descriptor]


class _Manifest(_Document):
    config: _Descriptor
    layers: list[_Descriptor] = Field(max_length=MAX_LAYERS)


class _Config(_Document):
    """The platform of an image whose index names none."""

    os: str
    architecture: str


@dataclass(frozen=True)
class OciImage:
    """An image of a layout: its open blobs. config: environment, command and history, which may hold secrets too."""

    config: BinaryIO
    layers: list[BinaryIO]
    digests: list[str]


@contextmanager
def open_oci(layout: Path) -> Iterator[OciImage]:
    """Open the only image for x86-64 of a layout. Raises ImageError; every blob is compared with its digest first."""
    try:
        if not layout.is_dir():
            raise ImageError(
                f"oci:{layout}: not a directory", "name the directory of the layout; unpack an archive of it"
            )
        with ExitStack() as stack:
            yield _open_image(layout, stack)
    except ForeignFileError as error:
        raise ImageError(f"oci:{layout}: {error.message}", f"is it an OCI image layout? {REMEDY}") from error


def _open_image(layout: Path, stack: ExitStack) -> OciImage:
    read_json(layout / "oci-layout", MAX_DOCUMENT_BYTES)
    index = _parsed(_Index, read_json(layout / "index.json", MAX_DOCUMENT_BYTES), layout / "index.json")
    found = {one.digest: one for one in _manifests(layout, index, MAX_NESTED)}
    if len(found) != 1:
        raise ImageError(
            f"oci:{layout}: {len(found)} images for {'/'.join(PLATFORM)}, expected 1"
            f"{': ' + ', '.join(map(_name, found.values())) if found else ''}",
            "copy the one to be judged into a layout of its own: skopeo copy oci:DIR:NAME oci:OTHER",
        )
    manifest = _parsed(_Manifest, _document(layout, *found.values()), layout)
    for layer in manifest.layers:
        if not _LAYER.fullmatch(layer.media_type):
            raise ImageError(f"oci:{layout}: a layer of type {layer.media_type!r}, expected a tar", REMEDY)
    config = _parsed(_Config, _document(layout, manifest.config), layout)
    if (config.os, config.architecture) != PLATFORM:
        found_platform = f"{config.os}/{config.architecture}"
        raise ImageError(f"oci:{layout}: an image for {found_platform}, expected {'/'.join(PLATFORM)}", REMEDY)
    blobs = [_open_blob(layout, one, stack) for one in (manifest.config, *manifest.layers)]
    return OciImage(blobs[0], blobs[1:], [one.digest for one in manifest.layers])


def _manifests(layout: Path, index: _Index, levels: int) -> Iterator[_Descriptor]:
    """The manifests for x86-64, those of nested indexes too. One without a platform may be for it."""
    for one in index.manifests:
        if one.media_type in _INDEXES:
            if not levels:
                raise ImageError(f"oci:{layout}: indexes nested in more than {MAX_NESTED} levels", REMEDY)
            yield from _manifests(layout, _parsed(_Index, _document(layout, one), layout), levels - 1)
        elif one.platform is None or (one.platform.os, one.platform.architecture) == PLATFORM:
            yield one


def _name(descriptor: _Descriptor) -> str:
    return descriptor.annotations.get(REF_NAME) or descriptor.digest


def _document(layout: Path, descriptor: _Descriptor) -> object:
    """A small blob, parsed."""
    if descriptor.size > MAX_DOCUMENT_BYTES:
        raise ImageError(
            f"oci:{layout}: {descriptor.size} bytes of JSON, expected at most {MAX_DOCUMENT_BYTES}", REMEDY
        )
    with ExitStack() as stack:
        return parse_json(_open_blob(layout, descriptor, stack).read(MAX_DOCUMENT_BYTES))


def _open_blob(layout: Path, descriptor: _Descriptor, stack: ExitStack) -> BinaryIO:
    """An open blob that has the size and the digest of its descriptor."""
    digest = _DIGEST.fullmatch(descriptor.digest)
    if not digest:
        raise ImageError(f"oci:{layout}: the digest {descriptor.digest!r}, expected sha256: or sha512:", REMEDY)
    algorithm, expected = digest[1] or digest[3], digest[2] or digest[4]
    path = layout / "blobs" / algorithm / expected
    stream = stack.enter_context(open_foreign(path, descriptor.size, follow_links=False))
    found, size_bytes = hashlib.new(algorithm), 0
    while chunk := stream.read(min(CHUNK_BYTES, descriptor.size + 1 - size_bytes)):
        found.update(chunk)
        size_bytes += len(chunk)
        if size_bytes > descriptor.size:
            break
    if size_bytes != descriptor.size or found.hexdigest() != expected:
        raise ImageError(f"{path}: its content does not match its name and size ({descriptor.size} bytes)", REMEDY)
    stream.seek(0)
    return stream


def _parsed(model: type[Model], value: object, where: Path) -> Model:
    try:
        return model.model_validate(value)
    except ValidationError as error:
        raise ImageError(f"{where}: not as in an OCI image layout: {first_problem(error)}", REMEDY) from error
