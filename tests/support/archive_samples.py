"""Tars and OCI image layouts, good ones and such as no tool writes."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

INDEX, MANIFEST = "application/vnd.oci.image.index.v1+json", "application/vnd.oci.image.manifest.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar"
CONFIG = {"architecture": "amd64", "os": "linux", "config": {"Env": ["PATH=/usr/bin"]}}
ARM64 = {"os": "linux", "architecture": "arm64"}
PLATFORM = {"os": "linux", "architecture": "amd64"}


def member(name: str, content: bytes = b"", **fields: Any) -> tuple[tarfile.TarInfo, bytes]:
    """A member of a tar: a regular file, unless `type` says otherwise."""
    info = tarfile.TarInfo(name)
    info.size, info.mode = len(content), 0o644
    for key, value in fields.items():
        setattr(info, key, value)
    return info, content


def directory(name: str, mode: int = 0o755) -> tuple[tarfile.TarInfo, bytes]:
    return member(name, type=tarfile.DIRTYPE, mode=mode)


def link(name: str, target: str, *, hard: bool = False) -> tuple[tarfile.TarInfo, bytes]:
    return member(name, type=tarfile.LNKTYPE if hard else tarfile.SYMTYPE, linkname=target)


def tar_of(*members: tuple[tarfile.TarInfo, bytes]) -> bytes:
    """A tar, with whatever names and numbers its members have."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for info, content in members:
            tar.addfile(info, io.BytesIO(content))
    return stream.getvalue()


def header(data: bytes, at: int, value: bytes) -> bytes:
    """The tar with bytes of its first header changed, and the checksum that fits them."""
    block = bytearray(data[:512])
    block[at : at + len(value)] = value
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block) + data[512:]


class Layout:
    """An OCI image layout that is being made."""

    def __init__(self, path: Path) -> None:
        self.path = path
        (path / "blobs/sha256").mkdir(parents=True)
        (path / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')

    def blob(self, content: bytes, media_type: str, **more: Any) -> dict[str, Any]:
        """Store a blob; returns its descriptor."""
        digest = hashlib.sha256(content).hexdigest()
        (self.path / "blobs/sha256" / digest).write_bytes(content)
        return {"mediaType": media_type, "digest": f"sha256:{digest}", "size": len(content), **more}

    def document(self, value: Any, media_type: str, **more: Any) -> dict[str, Any]:
        return self.blob(json.dumps(value).encode(), media_type, **more)

    def manifest(self, layers: Sequence[dict[str, Any]], config: Any = CONFIG, **more: Any) -> dict[str, Any]:
        described = self.document(config, "application/vnd.oci.image.config.v1+json")
        value = {"schemaVersion": 2, "config": described, "layers": list(layers)}
        return self.document(value, MANIFEST, **more)

    def index(self, *manifests: dict[str, Any]) -> Path:
        (self.path / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": list(manifests)}))
        return self.path


def oci(path: Path, *layers: bytes, config: Any = CONFIG) -> Path:
    """A layout of one image: its first layer plain, the others packed with gzip."""
    layout = Layout(path)
    stored = [
        layout.blob(gzip.compress(layer) if number else layer, LAYER + ("+gzip" if number else ""))
        for number, layer in enumerate(layers)
    ]
    return layout.index(layout.manifest(stored, config))


USR = directory("usr")
SHELL = member("usr/bin/sh", b"x", mode=0o755)
GOOD = tar_of(USR, SHELL, member("etc/passwd", b"root"))
