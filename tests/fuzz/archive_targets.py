"""The parsers of tars, OCI image layouts and squashfs."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
import tempfile
from collections.abc import Iterable
from pathlib import Path

from hornet.formats.archives.layered_tree import LayeredTree
from hornet.formats.archives.oci_layout import open_oci
from hornet.formats.archives.unpack import unpack
from hornet.formats.squashfs import SquashfsTree
from tests.fuzz.target import Target
from tests.support import archive_samples as samples
from tests.support import squashfs_samples

MAX_READ_BYTES = ROOM_BYTES = 1 << 20
HOLES = {"GNU.sparse.major": "0", "GNU.sparse.minor": "1", "GNU.sparse.size": "90", "GNU.sparse.map": "0,5,50,10"}


def _layers(data: bytes) -> None:
    """Unpacked, on top of a good layer, every file read."""
    with tempfile.TemporaryFile() as below, tempfile.TemporaryFile() as packed, tempfile.TemporaryFile() as plain:
        below.write(samples.GOOD)
        packed.write(data)
        for file in (below, packed):
            file.flush()
        layer = packed if unpack(packed.fileno(), plain.fileno(), ROOM_BYTES) is None else plain
        tree = LayeredTree([below.fileno(), layer.fileno()], whiteouts=True)
        for path in tree.files:
            list(tree.data_ranges(path))
            tree.read(path, 0, MAX_READ_BYTES)
        for path in tree.paths:
            tree.resolve(path)


def _layer_samples() -> Iterable[bytes]:
    whole = samples.tar_of(
        samples.directory("a"),
        samples.member("a/.wh..wh..opq"),
        samples.member("usr/.wh.bin"),
        samples.link("l", "a"),
        samples.link("h", "etc/passwd", hard=True),
        samples.member("l/x", b"x" * 15, pax_headers=HOLES),
    )
    gnu = io.BytesIO()
    with tarfile.open(fileobj=gnu, mode="w", format=tarfile.GNU_FORMAT) as tar:
        tar.addfile(tarfile.TarInfo("n" * 150))
    return [whole, gnu.getvalue(), samples.GOOD, gzip.compress(whole)]


def _index(data: bytes) -> None:
    """The index of a layout with one good image."""
    with tempfile.TemporaryDirectory() as directory:
        layout = samples.oci(Path(directory, "oci"), samples.GOOD)
        (layout / "index.json").write_bytes(data)
        with open_oci(layout):
            pass


def _index_samples() -> Iterable[bytes]:
    with tempfile.TemporaryDirectory() as directory:
        index = json.loads((samples.oci(Path(directory, "oci"), samples.GOOD) / "index.json").read_text())
    index["manifests"][0] |= {"platform": samples.PLATFORM, "annotations": {"org.opencontainers.image.ref.name": "x"}}
    return [json.dumps(index).encode()]


def _squashfs(data: bytes) -> None:
    tree = SquashfsTree(io.BytesIO(data), "usr.squashfs")
    for path in tree.files:
        tree.read(path, 0, MAX_READ_BYTES)
    for path in tree.paths:
        tree.resolve(path)
    tree.stored_bytes()


ARCHIVES = {
    "layers": Target(_layers, _layer_samples),
    "oci_index": Target(_index, _index_samples),
    "squashfs": Target(_squashfs, lambda: [squashfs_samples.small()]),
}
