"""Checks over an image's files: each accepts a good image, and each way to break it fails exactly its own check."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hornet.checks.baked_secrets import MAX_FINDINGS
from hornet.checks.catalog import image_checks
from hornet.errors import Ext4Error
from hornet.formats.content import CHUNK_BYTES
from hornet.formats.shebang import interpreter_of
from hornet.host.proc import run
from hornet.procedures.judge_image import REMNANT, judge_image
from hornet.spec.model import load_spec
from tests.support.directory_tree import DirectoryTree
from tests.support.image_samples import Mutation, image_mutations, make_good_root, write

SPEC = load_spec()
TOKEN, PRIVATE_KEY = (SPEC.secrets.patterns[name].secret for name in ("GitHub token", "private key"))
CHECKS = image_checks(SPEC)
MUTATIONS = list(image_mutations(SPEC))


@pytest.fixture(scope="module")
def good_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("good")
    make_good_root(root)
    return root


@pytest.fixture
def root(good_root: Path, tmp_path: Path) -> Path:
    """A copy of the good image for one test to break."""
    return Path(shutil.copytree(good_root, tmp_path / "root", symlinks=True))


def failing(root: Path) -> dict[str, list[str]]:
    found = {name: check(DirectoryTree(root)) for name, check in CHECKS.items()}
    return {name: problems for name, problems in found.items() if problems}


def test_a_good_image_passes_every_check(root: Path) -> None:
    assert failing(root) == {}


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.name)
def test_a_broken_image_fails_exactly_its_check(mutation: Mutation, root: Path) -> None:
    mutation.apply(root)
    assert set(failing(root)) == mutation.fails


def test_every_check_and_every_pattern_is_broken_once() -> None:
    assert {name for mutation in MUTATIONS for name in mutation.fails} == set(CHECKS)


def test_a_problem_names_the_thing_and_shows_no_secret(root: Path) -> None:
    write(root, "usr/lib/python3.11/os.py", "x" * 1000)
    write(root, "opt/config", TOKEN)
    problems = failing(root)
    assert problems["removal.python.path"] == [
        "Python (Not needed for Node.js agents): /usr/lib/python3.11 is in the image: 1 files, 0.00 MB"
    ]
    (problem,) = problems["secret.content"]
    assert "/opt/config: GitHub token at byte 0" in problem
    assert TOKEN not in problem


@pytest.mark.parametrize("before_bytes", [CHUNK_BYTES - 10, CHUNK_BYTES, CHUNK_BYTES + 1])
def test_secret_at_the_border_of_chunks_is_found_once(before_bytes: int, root: Path) -> None:
    write(root, "opt/config", " " * before_bytes + TOKEN)
    (problem,) = failing(root)["secret.content"]
    assert f"at byte {before_bytes}" in problem


def test_what_the_spec_accepts_is_accepted(root: Path) -> None:
    key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIexample fleet"
    write(root, "root/.ssh/authorized_keys", f"# ours\n{key}\n")
    write(root, "opt/config", TOKEN)
    ignored = [{"pattern": "^/opt/config: GitHub token", "reason": "a documented example"}]
    secrets = SPEC.secrets.model_validate({**SPEC.secrets.model_dump(), "allowed_keys": [key], "ignored": ignored})
    checks = image_checks(SPEC.model_copy(update={"secrets": secrets}))
    assert {name: problems for name, check in checks.items() if (problems := check(DirectoryTree(root)))} == {}


def test_many_accepted_secrets_do_not_hide_another(root: Path) -> None:
    write(root, "opt/config", f"{TOKEN} " * (MAX_FINDINGS + 1))
    ignored = [{"pattern": "GitHub token", "reason": "a documented example"}]
    secrets = SPEC.secrets.model_validate({**SPEC.secrets.model_dump(), "ignored": ignored})
    (problem,) = image_checks(SPEC.model_copy(update={"secrets": secrets}))["secret.content"](DirectoryTree(root))
    assert f"more than {MAX_FINDINGS}" in problem


# --- real ext4 images ------------------------------------------------------------------------------------------------


def make_image(root: Path, image: Path) -> None:
    run(["mke2fs", "-q", "-t", "ext4", "-d", root, image, "8M"], timeout_s=60)


def test_image_is_judged_like_its_directory_and_leaves_no_files(root: Path, tmp_path: Path) -> None:
    image, work = tmp_path / "image", tmp_path / "work"
    work.mkdir()
    write(root, "usr/lib/python3.11/os.py", "x" * 1000)
    write(root, "opt/config", TOKEN)
    make_image(root, image)
    found = judge_image(image, SPEC, (), work)
    assert {name: found[name] for name in found if found[name]} == failing(root)
    assert set(found) == {*CHECKS, REMNANT}
    assert list(work.iterdir()) == []


def test_a_deleted_secret_is_found_in_the_image(root: Path, tmp_path: Path) -> None:
    image = tmp_path / "image"
    write(root, "root/key", PRIVATE_KEY)
    make_image(root, image)
    run(["debugfs", "-w", "-R", "rm /root/key", image], timeout_s=20)
    found = judge_image(image, SPEC, (), tmp_path)
    assert found["secret.content"] == []
    (problem,) = found[REMNANT]
    assert "private key" in problem
    assert "deleted file" in problem


def test_a_sparse_file_larger_than_the_host_hides_nothing(root: Path, tmp_path: Path) -> None:
    """Its holes cost nothing; the secrets in it, after it and at its end are found."""
    image = tmp_path / "image"
    write(root, "zzz/key", PRIVATE_KEY)
    with (root / "aaa").open("wb") as stream:
        stream.write(PRIVATE_KEY.encode())
        stream.seek(200 << 30)
        stream.write(TOKEN.encode())
    make_image(root, image)
    found = " ".join(judge_image(image, SPEC, (), tmp_path)["secret.content"])
    assert "/zzz/key: private key" in found
    assert "/aaa: private key" in found
    assert f"/aaa: GitHub token at byte {200 << 30}" in found


@pytest.mark.parametrize("content", [b"", b"x" * 5000, bytes(1 << 20)], ids=["empty", "text", "zeros"])
def test_non_image_is_rejected(content: bytes, tmp_path: Path) -> None:
    image, work = tmp_path / "image", tmp_path / "work"
    work.mkdir()
    image.write_bytes(content)
    with pytest.raises(Ext4Error, match="image"):
        judge_image(image, SPEC, (), work)
    assert list(work.iterdir()) == []


# --- paths and scripts -----------------------------------------------------------------------------------------------


def test_links_are_followed_inside_the_image(root: Path) -> None:
    (root / "loop").symlink_to("loop")
    (root / "out").symlink_to("/etc/hostname")
    (root / "up").symlink_to("../../../usr/bin/sh")
    tree = DirectoryTree(root)
    assert tree.resolve("/etc/absolute/sh") == "/usr/bin/sh"
    assert tree.resolve("/bin/sh") == "/usr/bin/sh"
    assert tree.resolve("/up") == "/usr/bin/sh"
    assert tree.resolve("/out") is None, "the host's file is not the image's"
    assert tree.resolve("/loop") is None
    assert tree.text("/etc/absolute/script") == "#!/bin/sh -e\ntrue\n"


def test_star_does_not_match_a_slash(root: Path) -> None:
    tree = DirectoryTree(root)
    assert tree.matching(["/usr/*.so.1"]) == []
    assert tree.matching(["/usr/*", "/usr/lib/*"]) == ["/usr/bin", "/usr/lib", "/usr/share"]


@given(st.binary(max_size=80))
def test_any_first_line_is_a_script_or_none(head: bytes) -> None:
    interpreter = interpreter_of(head)
    assert interpreter is None or head.startswith(b"#!")


@given(st.sampled_from(["", " ", "  "]), st.sampled_from(["", " -e", " -x y"]))
def test_interpreter_is_read_from_the_first_line(space: str, arguments: str) -> None:
    direct = interpreter_of(f"#!{space}/bin/sh{arguments}\nrest".encode())
    assert direct is not None
    assert (direct.path, direct.program_name) == ("/bin/sh", "sh")
    by_env = interpreter_of(f"#!{space}/usr/bin/env A=1 node{arguments}\n".encode())
    assert by_env is not None
    assert (by_env.path, by_env.program_name) == ("/usr/bin/env", "node")
