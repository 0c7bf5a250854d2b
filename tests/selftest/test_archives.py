"""Images that are no file system: OCI image layouts, tars and directories are judged like the ext4 made of them."""

from __future__ import annotations

import gzip
import lzma
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hornet.checks.catalog import image_checks
from hornet.errors import ImageError
from hornet.formats.archives.source import ImageSource, Kind, parse_source
from hornet.host.proc import run
from hornet.procedures import image_files
from hornet.procedures.image_files import open_image, with_image
from hornet.procedures.judge_image import REMNANT, judge_source
from hornet.spec.model import load_spec
from tests.support import archive_samples as samples
from tests.support.archive_samples import ARM64, GOOD, SHELL, USR, directory, link, member, tar_of
from tests.support.directory_tree import DirectoryTree
from tests.support.image_samples import make_good_root, write

SPEC = load_spec()
TOKEN = SPEC.secrets.patterns["GitHub token"].secret


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "root"
    make_good_root(root)
    return root


def tarred(root: Path, archive: Path, *options: str) -> Path:
    run(["tar", "-C", root, *options, "-cf", archive, "."], timeout_s=60)
    return archive


def as_oci(root: Path, place: Path) -> ImageSource:
    return ImageSource(Kind.OCI, samples.oci(place / "layout", tarred(root, place / "tar").read_bytes()))


def as_tar(root: Path, place: Path) -> ImageSource:
    return ImageSource(Kind.TAR, tarred(root, place / "tar"))


def as_packed_tar(root: Path, place: Path) -> ImageSource:
    packed = place / "tar.gz"
    # Two members of gzip, as pigz and eStargz write them.
    content = tarred(root, place / "tar").read_bytes()
    packed.write_bytes(gzip.compress(content[:5000]) + gzip.compress(content[5000:]))
    return ImageSource(Kind.TAR, packed)


def as_directory(root: Path, place: Path) -> ImageSource:
    return ImageSource(Kind.DIRECTORY, root)


WAYS = {"oci": as_oci, "tar": as_tar, "tar.gz": as_packed_tar, "dir": as_directory}


def problems_of(source: ImageSource, work: Path) -> dict[str, list[str]]:
    found = judge_source(source, SPEC, (), work)
    return {name: found[name] for name in found if found[name]}


@pytest.mark.parametrize("way", WAYS)
def test_a_good_image_passes_and_leaves_no_files(way: str, root: Path, tmp_path: Path) -> None:
    work = tmp_path / "work"
    work.mkdir()
    assert problems_of(WAYS[way](root, tmp_path), work) == {}
    assert list(work.iterdir()) == []


@pytest.mark.parametrize("way", WAYS)
def test_what_is_wrong_is_found(way: str, root: Path, tmp_path: Path) -> None:
    """The same as in the directory that it was made of."""
    write(root, "usr/lib/python3.11/os.py", "x" * 1000)
    write(root, "opt/config", TOKEN)
    write(root, "opt/script", "#!/usr/bin/env perl\n", 0o755)
    root.chmod(0o700)
    tree = DirectoryTree(root)
    expected = {name: found for name, check in image_checks(SPEC).items() if (found := check(tree))}
    assert len(expected) >= 4
    assert problems_of(WAYS[way](root, tmp_path), tmp_path) == expected


def without_sandbox(function: Callable[..., Any], arguments: dict[str, Any], **more: Any) -> Any:
    """confined(), here: the sandbox does not see the tests."""
    files = {**(more.get("inputs") or {}), **(more.get("copies") or {})}
    return function(**arguments, **{name: file.fileno() for name, file in files.items()})


def read_tree(source: ImageSource, work: Path) -> dict[str, list[Any]]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(image_files, "confined", without_sandbox)
        return with_image(tree_of, {}, source, work)


def tree_of(opening: dict[str, Any], **descriptors: int) -> dict[str, list[Any]]:
    """The whole tree, with the content of its files."""
    with open_image(opening, descriptors) as image:
        tree = image.tree
        return {
            "/": [tree.root.mode],
            **{
                path: [entry.mode, entry.uid, entry.gid, entry.link_target]
                + ([tree.read(path, 0, entry.size_bytes).hex(), list(tree.data_ranges(path))] if entry.is_file else [])
                for path, entry in tree.entries.items()
            },
        }


@pytest.mark.parametrize("options", [(), ("--sparse",), ("--format=pax", "--sparse")])
def test_the_files_are_those_of_the_directory(options: tuple[str, ...], tmp_path: Path) -> None:
    root = tmp_path / "root"
    write(root, "usr/bin/sh", "shell", 0o4755)
    write(root, "long/" + "d" * 120 + "/" + "f" * 90, "x" * 700)
    (root / "hard").hardlink_to(root / "usr/bin/sh")
    (root / "link").symlink_to("usr/../usr/bin")
    os.mkfifo(root / "pipe")
    (root / "private").mkdir(0o700)
    with (root / "holes").open("wb") as stream:
        for offset in (0, 1 << 20, 5 << 20):
            stream.seek(offset)
            stream.write(b"data" * 2000)
        stream.truncate(6 << 20)
    (root / os.fsdecode(b"not-utf8-\xff")).write_bytes(b"odd")
    tree = DirectoryTree(root)
    for source in (ImageSource(Kind.TAR, tarred(root, tmp_path / "tar", *options)), as_directory(root, tmp_path)):
        found = read_tree(source, tmp_path)
        assert found.pop("/") == [tree.root.mode]
        assert found.keys() == tree.entries.keys()
        for path, (mode, uid, gid, target, *content) in found.items():
            entry = tree.entries[path]
            assert (mode, uid, gid, target) == (entry.mode, entry.uid, entry.gid, entry.link_target), path
            if content:
                assert bytes.fromhex(content[0]) == tree.read(path, 0, entry.size_bytes), path


def test_a_layer_hides_what_is_below(tmp_path: Path) -> None:
    """Whiteouts, opaque directories, links to directories, files in place of directories."""
    below = tar_of(
        USR, SHELL, link("bin", "usr/bin"), directory("a"), member("a/1", b"1"), member("a/2", b"2"), directory("b"),
        member("b/old", b"old"), directory("c"), member("c/x", b"x"), member("e", b"e"),
    )  # fmt: skip
    above = tar_of(
        member("a/.wh.1"), member("b/new", b"new"), member("b/.wh..wh..opq"), member("bin/added", b"added"),
        member("c", b"now a file"), member("e/f/g", b"below a directory"), member(".wh.e"), member(".wh.none"),
    )  # fmt: skip
    source = ImageSource(Kind.OCI, samples.oci(tmp_path / "oci", below, above))
    found = read_tree(source, tmp_path)
    assert set(found) == {
        "/", "/usr", "/usr/bin", "/usr/bin/sh", "/usr/bin/added", "/bin", "/a", "/a/2", "/b", "/b/new", "/c",
        "/e", "/e/f", "/e/f/g",
    }  # fmt: skip
    assert bytes.fromhex(found["/c"][4]) == b"now a file"


def test_a_secret_in_a_lower_layer_or_the_configuration_is_found(tmp_path: Path) -> None:
    """A later layer removes the file, but whoever has the image has the layer."""
    below, above = tar_of(USR, SHELL, member("token", TOKEN.encode())), tar_of(member(".wh.token"))
    config = samples.CONFIG | {"history": [{"created_by": f"ENV TOKEN={TOKEN}"}]}
    for content, place in (((below, above), "layer sha256:"), ((tar_of(USR, SHELL),), "the image's configuration")):
        layout = samples.oci(
            tmp_path / place.partition(":")[0], *content, config=config if len(content) == 1 else samples.CONFIG
        )
        found = judge_source(ImageSource(Kind.OCI, layout), SPEC, (), tmp_path)
        assert found["secret.content"] == []
        (problem,) = found[REMNANT]
        assert "GitHub token at byte" in problem
        assert place in problem


def test_a_map_of_holes_cannot_cut_a_secret_in_two(tmp_path: Path) -> None:
    content = f"x = {TOKEN}\n".encode()
    half = len(content) // 2
    pax = {"GNU.sparse.major": "0", "GNU.sparse.minor": "1", "GNU.sparse.size": str(len(content)),
           "GNU.sparse.map": f"0,{half},{half},{len(content) - half}"}  # fmt: skip
    archive = tmp_path / "tar"
    archive.write_bytes(tar_of(USR, member("etc/config", content, pax_headers=pax)))
    (problem,) = judge_source(ImageSource(Kind.TAR, archive), SPEC, (), tmp_path)["secret.content"]
    assert "/etc/config: GitHub token" in problem


def test_a_huge_file_of_holes_costs_nothing(root: Path, tmp_path: Path) -> None:
    """As /var/log/lastlog is on hosts with large user ids."""
    with (root / "lastlog").open("wb") as stream:
        stream.seek(300 << 30)
        stream.write(TOKEN.encode())
    for source in (as_directory(root, tmp_path), ImageSource(Kind.TAR, tarred(root, tmp_path / "tar", "--sparse"))):
        (problem,) = problems_of(source, tmp_path)["secret.content"]
        assert f"GitHub token at byte {300 << 30}" in problem


def test_an_xz_is_unpacked(tmp_path: Path) -> None:
    (tmp_path / "tar.xz").write_bytes(lzma.compress(tar_of(USR, member("token", TOKEN.encode()))))
    assert "secret.content" in problems_of(ImageSource(Kind.TAR, tmp_path / "tar.xz"), tmp_path)


def test_an_index_of_several_platforms_is_read(tmp_path: Path) -> None:
    """As buildx writes it: an index in the index, another processor, an attestation."""
    layout = samples.Layout(tmp_path / "oci")
    manifests = [
        layout.manifest([layout.blob(GOOD, samples.LAYER)], platform=samples.PLATFORM),
        layout.manifest([], ARM64, platform=ARM64),
        layout.manifest([], {}, platform={"os": "unknown", "architecture": "unknown"}),
    ]
    layout.index(layout.document({"schemaVersion": 2, "manifests": manifests}, samples.INDEX))
    assert "/etc/passwd" in read_tree(ImageSource(Kind.OCI, layout.path), tmp_path)


# --- directories -----------------------------------------------------------------------------------------------------


def test_a_directory_with_another_file_system_in_it_is_rejected(root: Path, tmp_path: Path) -> None:
    """As in a chroot with /proc mounted: its files are not those of the image."""
    (root / "proc").mkdir()
    script = f"""
mount -t tmpfs none {root}/proc && exec {sys.executable} -c '
from pathlib import Path
from hornet.formats.archives.source import ImageSource, Kind
from hornet.procedures.judge_image import judge_source
from hornet.spec.model import load_spec
judge_source(ImageSource(Kind.DIRECTORY, Path("{root}")), load_spec(), (), Path("{tmp_path}"))'
"""
    ended = subprocess.run(
        ["unshare", "--mount", "--propagation", "private", "sh", "-c", script],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert "./proc is another file system" in ended.stderr


def test_links_of_a_directory_are_not_followed(root: Path, tmp_path: Path) -> None:
    secret = tmp_path / "outside"
    secret.mkdir()
    (secret / "token").write_text(TOKEN)
    (root / "opt/out").symlink_to(secret)
    (root / "opt/token").symlink_to(secret / "token")
    assert problems_of(as_directory(root, tmp_path), tmp_path) == {}


def test_devices_and_pipes_of_a_directory_are_not_opened(root: Path, tmp_path: Path) -> None:
    os.mkfifo(root / "opt/pipe")
    os.mknod(root / "opt/zero", 0o666 | 0o020000, os.makedev(1, 5))
    assert problems_of(as_directory(root, tmp_path), tmp_path) == {}


def test_too_deep_a_directory_is_rejected(root: Path, tmp_path: Path) -> None:
    deep = root / ("d/" * 300)
    deep.mkdir(parents=True)
    with pytest.raises(ImageError, match="nested in more than 200 levels"):
        judge_source(as_directory(root, tmp_path), SPEC, (), tmp_path)


@pytest.mark.parametrize("path", ["missing", "file"])
def test_what_is_no_directory_is_rejected(path: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(ImageError, match="cannot be read"):
        judge_source(ImageSource(Kind.DIRECTORY, tmp_path / path), SPEC, (), tmp_path)


def test_a_directory_says_nothing_on_deleted_files(root: Path, tmp_path: Path) -> None:
    assert REMNANT not in judge_source(as_directory(root, tmp_path), SPEC, (), tmp_path)
    assert REMNANT in judge_source(as_tar(root, tmp_path), SPEC, (), tmp_path)


# --- the option ------------------------------------------------------------------------------------------------------


def test_prefixes_name_kinds() -> None:
    assert parse_source("oci:/x") == ImageSource(Kind.OCI, Path("/x"))
    assert parse_source("tar:a:b") == ImageSource(Kind.TAR, Path("a:b"))
    assert parse_source("./oci:x") == ImageSource(Kind.EXT4, Path("./oci:x"))
    assert parse_source("oci") == ImageSource(Kind.EXT4, Path("oci"))
    assert str(parse_source("dir:/x")) == "dir:/x"
