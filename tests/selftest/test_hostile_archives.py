"""Archives and layouts that no tool writes, made to get at the host or to cost it: each is refused with its reason."""

from __future__ import annotations

import gzip
import io
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hornet.errors import HornetError, ImageError
from hornet.formats.archives import members as tar_members
from hornet.formats.archives.source import ImageSource, Kind
from hornet.procedures.judge_image import judge_source
from hornet.spec.model import load_spec
from tests.support import archive_samples as samples
from tests.support.archive_samples import ARM64, GOOD, USR, directory, link, member, tar_of

SPEC = load_spec()


# --- hostile archives ------------------------------------------------------------------------------------------------


def sparse(size: str, holes: str) -> bytes:
    pax = {"GNU.sparse.major": "0", "GNU.sparse.minor": "1", "GNU.sparse.size": size, "GNU.sparse.map": holes}
    return tar_of(USR, member("etc/sparse", b"x" * 100, pax_headers=pax))


HOSTILE: dict[str, tuple[bytes, str]] = {
    "a path upwards": (tar_of(USR, member("../../etc/cron.d/x", b"x")), "leads out of its image"),
    "a path upwards from inside": (tar_of(USR, member("usr/../../x", b"x")), "leads out of its image"),
    "a hard link upwards": (tar_of(USR, link("x", "../../etc/shadow", hard=True)), "leads out of its image"),
    "a hard link to nothing": (tar_of(USR, link("x", "etc/shadow", hard=True)), "which is no file of the image"),
    "a hard link to a directory": (tar_of(USR, link("x", "usr", hard=True)), "which is no file of the image"),
    "a file below a file": (tar_of(USR, member("etc", b"x"), member("etc/passwd", b"x")), "is not a directory"),
    "a file through a link to nothing": (tar_of(USR, link("etc", "/gone"), member("etc/x", b"x")), "not a directory"),
    "a file through a loop": (tar_of(USR, link("etc", "etc"), member("etc/x", b"x")), "is not a directory"),
    "the root as a file": (tar_of(USR, member(".", b"x")), "its root is not a directory"),
    "a null in a name": (tar_of(USR, member("x", pax_headers={"path": "a\0b"})), "leads out of its image|not a valid"),
    "an endless path": (tar_of(USR, member("d/" * 3000 + "x", b"x")), "a path longer than 4096"),
    "an unknown type": (tar_of(USR, member("x", type=b"M")), "unknown type b'M'"),
    "a damaged header": (GOOD[:1536] + b"\xff" + GOOD[1537:], "neither a header nor a block of zeros"),
    "a cut end": (GOOD[:2048], "truncated or damaged|unexpected end"),
    "a cut file": (tar_of(USR, member("big", b"x" * 9000))[:4096], "not a valid tar|outside the archive|truncated"),
    "a negative size": (
        samples.header(tar_of(member("x", b"x" * 600)), 124, b"\xff" * 12),
        "not a valid|outside|neither a header",
    ),
    "holes beyond the size": (sparse("50", "0,100"), "a map of holes that does not fit"),
    "holes that overlap": (sparse("100", "0,60,50,40"), "a map of holes that does not fit"),
    "holes backwards": (sparse("100", "50,10,0,10"), "a map of holes that does not fit"),
    "more data than is stored": (sparse("99999999", "0,9000000"), "a map of holes that does not fit"),
    "a negative hole": (sparse("100", "-5,10"), "a map of holes that does not fit|not a valid tar"),
    "nothing": (tar_of(), "no root file system"),
    "no bytes": (b"", "not a valid tar"),
    "no tar": (b"text\n" * 1000, "not a valid tar"),
    "one directory too many": (tar_of(directory("rootfs"), member("rootfs/usr/bin/sh", b"x")), "at its top: /rootfs"),
    "docker save": (tar_of(member("manifest.json", b"[]"), member("1/layer.tar", GOOD)), "skopeo copy"),
    "damaged gzip": (gzip.compress(GOOD)[:-20], "damaged compressed data"),
    "bytes after gzip": (gzip.compress(GOOD) + b"more", "damaged compressed data"),
    "zstd": (b"\x28\xb5\x2f\xfd" + bytes(100), "packed with zstd: only gzip, bzip2 and xz"),
    "a gzip of a gzip": (gzip.compress(gzip.compress(GOOD)), "not a valid tar"),
}


def judge_bytes(data: bytes, kind: Kind, place: Path) -> None:
    work = place / "work"
    work.mkdir()
    if kind is Kind.OCI:
        # Behind a good layer, so that a bad one cannot hide.
        source = ImageSource(kind, samples.oci(place / "oci", GOOD, data))
    else:
        source = ImageSource(kind, place / "tar")
        source.path.write_bytes(data)
    try:
        judge_source(source, SPEC, (), work)
    finally:
        assert list(work.iterdir()) == []


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_tar_is_rejected(name: str, tmp_path: Path) -> None:
    data, said = HOSTILE[name]
    with pytest.raises(HornetError, match=said):
        judge_bytes(data, Kind.TAR, tmp_path)


LAYERS_MAY = {
    "nothing",
    "one directory too many",
    "docker save",
    "a gzip of a gzip",
    "zstd",
    "damaged gzip",
    "bytes after gzip",
}


@pytest.mark.parametrize("name", sorted(HOSTILE.keys() - LAYERS_MAY))
def test_hostile_layer_is_rejected(name: str, tmp_path: Path) -> None:
    data, said = HOSTILE[name]
    with pytest.raises(HornetError, match=f"{said}|is no file of the image"):
        judge_bytes(data, Kind.OCI, tmp_path)


@pytest.mark.parametrize(
    ("name", "said"), [(".wh..", "a whiteout of nothing"), (".wh...", "leads out"), (".wh.", "a whiteout of nothing")]
)
def test_whiteout_of_what_is_above_is_rejected(name: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=said):
        judge_bytes(tar_of(member(f"usr/{name}")), Kind.OCI, tmp_path)


def test_a_bomb_is_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A gigabyte in a megabyte: no more is written than half of the free room."""
    free = os.statvfs(tmp_path)
    room = free.f_bavail * free.f_frsize // 2
    small = os.statvfs_result((*free[:4], (64 << 20) // free.f_frsize, *free[5:]))
    monkeypatch.setattr(os, "statvfs", lambda _path: small)
    assert room > 64 << 20
    bomb = io.BytesIO()
    with gzip.open(bomb, "wb", compresslevel=1) as stream:
        for _ in range(64):
            stream.write(b"x" * (1 << 20))
    with pytest.raises(ImageError, match="it unpacks to more than 32 MiB"):
        judge_bytes(bomb.getvalue(), Kind.TAR, tmp_path)


def test_a_bomb_of_layers_has_one_budget(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    free = os.statvfs(tmp_path)
    small = os.statvfs_result((*free[:4], (64 << 20) // free.f_frsize, *free[5:]))
    monkeypatch.setattr(os, "statvfs", lambda _path: small)
    layer = tar_of(member("big", b"x" * (20 << 20)))
    with pytest.raises(ImageError, match="it unpacks to more than"):
        judge_source(ImageSource(Kind.OCI, samples.oci(tmp_path / "oci", GOOD, layer, layer)), SPEC, (), tmp_path)


def test_too_many_members_are_rejected(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tar_members, "MAX_MEMBERS", 2)
    (tmp_path / "tar").write_bytes(GOOD)
    with (tmp_path / "tar").open("rb") as stream, pytest.raises(ImageError, match="more than 2 members"):
        list(tar_members.members(stream.fileno()))


# --- layouts ---------------------------------------------------------------------------------------------------------


def no_layout(place: Path) -> None:
    (place / "oci-layout").unlink()


def no_index(place: Path) -> None:
    (place / "index.json").unlink()


def list_index(place: Path) -> None:
    (place / "index.json").write_text("[]")


def index_with(**changes: Any) -> Callable[[Path], None]:
    def change(place: Path) -> None:
        index = json.loads((place / "index.json").read_text())
        index["manifests"][0] |= changes
        (place / "index.json").write_text(json.dumps(index))

    return change


def blobs(change: Callable[[Path], None]) -> Callable[[Path], None]:
    """Change each blob."""

    def all_of_them(place: Path) -> None:
        for blob in (place / "blobs/sha256").iterdir():
            change(blob)

    return all_of_them


def reverse(blob: Path) -> None:
    blob.write_bytes(blob.read_bytes()[::-1])


def fifo(blob: Path) -> None:
    blob.unlink()
    os.mkfifo(blob)


def link_to_host(blob: Path) -> None:
    blob.unlink()
    blob.symlink_to("/etc/shadow")


def two_images(place: Path) -> None:
    layout = samples.Layout(place / "more")
    config = samples.CONFIG | {"created": "2026-01-01T00:00:00Z"}
    for name in ("one", "two"):
        named = {"org.opencontainers.image.ref.name": name}
        index = layout.manifest([layout.blob(GOOD, samples.LAYER)], {**config, "author": name}, annotations=named)
        for blob in (layout.path / "blobs/sha256").iterdir():
            (place / "blobs/sha256" / blob.name).write_bytes(blob.read_bytes())
        found = json.loads((place / "index.json").read_text())
        found["manifests"] = [*([] if name == "one" else found["manifests"]), index]
        (place / "index.json").write_text(json.dumps(found))


def other(manifest: Callable[[samples.Layout], dict[str, Any]]) -> Callable[[Path], None]:
    def change(place: Path) -> None:
        layout = samples.Layout(place / "more")
        index = manifest(layout)
        for blob in (layout.path / "blobs/sha256").iterdir():
            (place / "blobs/sha256" / blob.name).write_bytes(blob.read_bytes())
        (place / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [index]}))

    return change


def nested(layout: samples.Layout) -> dict[str, Any]:
    index = layout.manifest([layout.blob(GOOD, samples.LAYER)])
    for _ in range(9):
        index = layout.document({"schemaVersion": 2, "manifests": [index]}, samples.INDEX)
    return index


LAYOUTS: dict[str, tuple[Callable[[Path], None], str]] = {
    "no layout": (no_layout, "oci-layout: no such file"),
    "no index": (no_index, "index.json: no such file"),
    "an index that is a list": (list_index, "not as in an OCI"),
    "a digest upwards": (index_with(digest="sha256:../../../../etc/shadow"), "the digest 'sha256:../"),
    "another algorithm": (index_with(digest="md5:" + "0" * 32), "the digest 'md5:"),
    "another size": (index_with(size=3), "bytes, expected at most 3"),
    "a size that is too large": (index_with(size=1 << 20), "does not match its name and size"),
    "a huge document": (index_with(size=1 << 30), "bytes of JSON, expected at most"),
    "a negative size": (index_with(size=-1), "not as in an OCI image layout"),
    "another platform": (index_with(platform=ARM64), "0 images for linux/amd64"),
    "a changed blob": (blobs(reverse), "does not match its name"),
    "a missing blob": (blobs(Path.unlink), "no such file"),
    "a blob that is a pipe": (blobs(fifo), "a pipe, expected a regular file"),
    "a blob that is a link to the host": (blobs(link_to_host), "a symbolic link, expected a regular file"),
    "two images": (two_images, r"2 images for linux/amd64, expected 1: one, two"),
    "nested without end": (other(nested), "nested in more than"),
    "too many layers": (
        other(lambda layout: layout.manifest([layout.blob(GOOD, samples.LAYER)] * 200)),
        "not as in an OCI image layout: layers",
    ),
    "an encrypted layer": (
        other(lambda layout: layout.manifest([layout.blob(GOOD, samples.LAYER + "+encrypted")])),
        r"a layer of type .*encrypted', expected a tar",
    ),
    "an image for another processor": (
        other(lambda layout: layout.manifest([layout.blob(GOOD, samples.LAYER)], ARM64)),
        "an image for linux/arm64, expected linux/amd64",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", LAYOUTS)
def test_hostile_layout_is_rejected(name: str, tmp_path: Path) -> None:
    change, said = LAYOUTS[name]
    layout = samples.oci(tmp_path / "oci", GOOD)
    change(layout)
    with pytest.raises(ImageError, match=said):
        judge_source(ImageSource(Kind.OCI, layout), SPEC, (), tmp_path)
