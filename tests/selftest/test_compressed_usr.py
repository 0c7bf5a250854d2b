"""The compressed layout without a guest: every check sees through it, with and without changes; damage is named."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from hornet.errors import Ext4Error, HornetError
from hornet.formats.archives.source import ImageSource, Kind
from hornet.formats.ext4.verdict import judge_ext4
from hornet.formats.overlay_tree import CHANGES, ID_IN_USR, ID_OF_CHANGES, USR_FILE
from hornet.formats.squashfs import SquashfsTree
from hornet.procedures.judge_image import ImageProblems, judge_image, judge_source
from hornet.spec.model import load_spec
from tests.support.image_samples import make_good_root, write
from tests.support.squashfs_samples import compress, debugfs, make_image, small

SPEC = load_spec()
TOKEN = SPEC.secrets.patterns["GitHub token"].secret


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A good image in the plain layout, for one test to break."""
    root = tmp_path / "root"
    make_good_root(root)
    return root


def compressed(root: Path, tmp_path: Path) -> Path:
    """The image of a tree in the compressed layout."""
    work = tmp_path / "work"
    work.mkdir()
    compress(root, work)
    make_image(root, tmp_path / "image")
    return tmp_path / "image"


def judged(image: Path, tmp_path: Path) -> ImageProblems:
    return judge_image(image, SPEC, (), tmp_path)


def failing(image: Path, tmp_path: Path) -> dict[str, list[str]]:
    return {name: problems for name, problems in judged(image, tmp_path).items() if problems}


def test_a_good_image_passes_every_check(root: Path, tmp_path: Path) -> None:
    image = compressed(root, tmp_path)
    assert failing(image, tmp_path) == {}
    assert judge_ext4(image, tmp_path).sound


def test_files_of_the_boot_are_stored_uncompressed(root: Path, tmp_path: Path) -> None:
    """Links and everything else are not, and both are read the same. A library counts only with its program."""
    content = "line\n" * 100_000
    cipher = "usr/lib/x86_64-linux-gnu/libcrypto.so.3"
    for path in ("usr/bin/busybox", "usr/bin/other"):
        write(root, path, content, 0o755)
    write(root, cipher, content.replace("i", "o"), 0o755)  # equal files are stored once
    (root / "usr/bin/bash").symlink_to("other")
    (tmp_path / "work").mkdir()
    with_sshd = Path(shutil.copytree(root, tmp_path / "with sshd", symlinks=True))
    write(with_sshd, "usr/sbin/sshd", "sshd", 0o755)
    (tmp_path / "work-with-sshd").mkdir()
    assert compress(with_sshd, tmp_path / "work-with-sshd")[cipher] == len(content)
    stored = compress(root, tmp_path / "work")
    assert stored["usr/bin/busybox"] == len(content)
    assert stored["usr/bin/other"] < len(content) / 10
    assert stored[cipher] < len(content) / 10
    with (root / USR_FILE.lstrip("/")).open("rb") as stream:
        tree = SquashfsTree(stream, USR_FILE)
        assert [tree.read(f"/bin/{name}", 0, len(content)).decode() for name in ("busybox", "other")] == [content] * 2


def test_what_is_in_the_compressed_usr_is_judged(root: Path, tmp_path: Path) -> None:
    write(root, "usr/lib/python3.11/os.py", "x" * 1000)
    write(root, "usr/share/config", TOKEN)
    write(root, "usr/bin/broken", "#!/usr/bin/gone\n", 0o755)
    found = failing(compressed(root, tmp_path), tmp_path)
    assert set(found) == {
        *("removal.python.path", "removal.python.file_type", "secret.content", "dangling.interpreter")
    }
    assert "/usr/share/config: GitHub token" in found["secret.content"][0]


def test_changes_are_judged_and_what_they_hide_is_not_forgotten(root: Path, tmp_path: Path) -> None:
    """A deleted secret can still be read in the compressed file; a deleted interpreter is missed by its scripts."""
    write(root, "usr/share/config", TOKEN)
    image = compressed(root, tmp_path)
    added = tmp_path / "added"
    added.write_text(TOKEN)
    debugfs(
        image,
        f"mkdir {CHANGES}/share",
        f"mkdir {CHANGES}/bin",
        f"cd {CHANGES}/share",
        "mknod config c 0 0",
        f"cd {CHANGES}/bin",
        "mknod sh c 0 0",
        f"write {added} {CHANGES}/share/added",
    )
    found = failing(image, tmp_path)
    assert set(found) == {"secret.content", "dangling.interpreter"}
    assert {problem.split(":")[0] for problem in found["secret.content"]} == {
        *("/usr/share/added", f"{USR_FILE}/share/config")
    }


def test_an_opaque_directory_hides_what_is_below(root: Path, tmp_path: Path) -> None:
    image = compressed(root, tmp_path)
    debugfs(image, f"mkdir {CHANGES}/lib", f"ea_set {CHANGES}/lib trusted.overlay.opaque y")
    found = failing(image, tmp_path)
    assert set(found) == {"dangling.library"}
    assert f"{USR_FILE}/lib/libuser.so.1: needs libgood.so.1" in found["dangling.library"][0]


def test_an_attribute_that_the_layout_does_not_use_is_rejected(root: Path, tmp_path: Path) -> None:
    image = compressed(root, tmp_path)
    debugfs(image, f"mkdir {CHANGES}/lib", f"ea_set {CHANGES}/lib trusted.overlay.redirect /bin")
    with pytest.raises(Ext4Error, match=r"has trusted\.overlay\.redirect"):
        judged(image, tmp_path)


def test_changes_of_another_version_are_named(root: Path, tmp_path: Path) -> None:
    other = Path(shutil.copytree(root, tmp_path / "other", symlinks=True))
    write(other, "usr/share/more", "x")
    (tmp_path / "work-of-other").mkdir()
    compress(other, tmp_path / "work-of-other")
    image = compressed(root, tmp_path)
    debugfs(image, f"rm {ID_OF_CHANGES}", f"write {other}{ID_OF_CHANGES} {ID_OF_CHANGES}")
    found = failing(image, tmp_path)
    assert set(found) == {"usr.image"}
    assert "made to the /usr" in found["usr.image"][0]


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda sound: sound[:512], "truncated: the file has 512 bytes"),
        (lambda _: b"x" * 5000, "not a squashfs file system: it begins with b'xxxx'"),
        (lambda _: b"", "not a squashfs file system"),
        (lambda sound: sound[:96] + bytes(len(sound) - 96), "damaged: "),
    ],
    ids=["truncated", "foreign", "empty", "overwritten"],
)
def test_damaged_usr_is_named_by_every_judge(
    damage: Callable[[bytes], bytes], said: str, root: Path, tmp_path: Path
) -> None:
    image = compressed(root, tmp_path)
    damaged = tmp_path / "damaged"
    damaged.write_bytes(damage(small()))
    debugfs(image, f"rm {USR_FILE}", f"write {damaged} {USR_FILE}")
    with pytest.raises(HornetError, match=rf"{USR_FILE}: {said}"):
        judged(image, tmp_path)
    (finding,) = judge_ext4(image, tmp_path).findings
    assert finding.rule.kind == "compressed /usr damaged"


def test_compressed_usr_outside_of_ext4_is_refused(root: Path, tmp_path: Path) -> None:
    """Without looking into it, the image would seem to have none of what is forbidden."""
    (tmp_path / "work").mkdir()
    compress(root, tmp_path / "work")
    with pytest.raises(HornetError, match="judged in an ext4 image only"):
        judge_source(ImageSource(Kind.DIRECTORY, root), SPEC, (), tmp_path)


def test_equal_trees_give_equal_files_and_every_byte_is_counted(root: Path, tmp_path: Path) -> None:
    write(root, "usr/share/twin", bytes(range(256)) * 1000)
    write(root, "usr/share/twin2", bytes(range(256)) * 1000)
    files, stored = [], {}
    for name in ("one", "two"):
        copy, work = tmp_path / name, tmp_path / f"work-{name}"
        shutil.copytree(root, copy, symlinks=True, copy_function=shutil.copyfile if name == "two" else shutil.copy2)
        for path in copy.rglob("*"):
            if not path.is_symlink():
                path.chmod((root / path.relative_to(copy)).stat().st_mode)
        work.mkdir()
        stored = compress(copy, work)
        files.append((copy / USR_FILE.lstrip("/")).read_bytes())
    assert files[0] == files[1]
    assert 0 < stored["usr/share/twin"] < 256_000
    assert stored["usr/share/twin2"] == 0
    assert sum(stored.values()) <= len(files[0])
    assert f"usr{ID_IN_USR}" in stored
