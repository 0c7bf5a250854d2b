"""`hornetos learn`: the image passes with the overlay that was written from it, and a changed one fails."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from hornet.foreign_file import parse_toml
from hornet.host.proc import run
from hornet.procedures.judge_image import judge_image
from hornet.procedures.learn import as_toml
from hornet.spec.model import load_spec
from hornet_cli.app import app
from tests.support.image_samples import make_good_root, write

STATUS = "Package: {}\nStatus: install ok installed\n\n"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """As a distribution ships it: with Python, without curl, and a setuid program."""
    root = tmp_path / "root"
    make_good_root(root)
    write(root, "usr/lib/python3.11/os.py", "x" * 1000)
    write(root, "usr/bin/su", "su", 0o4755)
    write(root, "etc/os-release", 'ID=debian\nVERSION_ID="12"\n')
    write(
        root, "var/lib/dpkg/status", STATUS.format("bash") + STATUS.format("python3.11") + STATUS.format("libstdc++6")
    )
    return root


def packed(root: Path, image: Path, size: str = "8M") -> Path:
    run(["mke2fs", "-q", "-t", "ext4", "-d", root, image, size], timeout_s=60)
    return image


def learned(image: str | Path, overlay: Path, *, code: int = 0) -> str:
    words = ["learn", str(image), "--output", str(overlay)]
    ended = CliRunner().invoke(app, words, env={"HORNET_HOME": str(overlay.parent / "home")})
    assert ended.exit_code == code, ended.output
    return ended.output


def problems(image: Path, overlay: Path) -> dict[str, list[str]]:
    spec = load_spec(overlays=[overlay])
    found = judge_image(image, spec, spec.tier("standard").exempt_from_removals, image.parent)
    return {name: found[name] for name in found if found[name]}


def no_package(root: Path) -> None:
    write(root, "var/lib/dpkg/status", STATUS.format("bash") + STATUS.format("python3.11"))


def no_setuid(root: Path) -> None:
    (root / "usr/bin/su").chmod(0o755)


def other_release(root: Path) -> None:
    write(root, "etc/os-release", 'ID=debian\nVERSION_ID="13"\n')


def more_forbidden_things(root: Path) -> None:
    write(root, "usr/lib/locale/locale-archive", "x")


CHANGES: dict[str, Callable[[Path], None]] = {
    "Package libstdc++6": no_package,
    "Program su": no_setuid,
    "Release VERSION_ID": other_release,
    "ocale": more_forbidden_things,
}


def test_the_image_passes_and_each_change_fails(root: Path, tmp_path: Path) -> None:
    image, overlay = packed(root, tmp_path / "image"), tmp_path / "learned.toml"
    assert problems(image, write_nothing(tmp_path)), "without the overlay it fails"
    assert "pass as standard" in learned(image, overlay)
    assert problems(image, overlay) == {}
    spec = load_spec(overlays=[overlay])
    assert spec.tier("standard").max_mb == 9, "8 MiB in MB, rounded up"
    assert "curl" not in spec.tools_of("standard")
    assert "curl" in spec.tools_of("dev")
    for number, (said, change) in enumerate(CHANGES.items()):
        changed = tmp_path / f"changed{number}"
        run(["cp", "-a", root, changed], timeout_s=20)
        change(changed)
        found = problems(packed(changed, tmp_path / f"image{number}"), overlay)
        assert said in str(found), said


def write_nothing(place: Path) -> Path:
    (place / "nothing.toml").write_text("")
    return place / "nothing.toml"


def test_without_packages_the_commands_are_learned(root: Path, tmp_path: Path) -> None:
    (root / "var/lib/dpkg/status").unlink()
    overlay = tmp_path / "learned.toml"
    learned(f"dir:{root}", overlay)
    assert "max_mb" not in overlay.read_text(), "a directory has no size of an image"
    (root / "usr/bin/script").unlink()
    assert "Program script" in str(problems(packed(root, tmp_path / "image"), overlay))


def test_secrets_and_damage_are_not_learned(root: Path, tmp_path: Path) -> None:
    write(root, "root/.ssh/id_ed25519", "x", 0o600)
    (root / "usr/lib/libgood.so.1").unlink()
    (root / "usr").chmod(0o700)
    said = learned(packed(root, tmp_path / "image"), tmp_path / "learned.toml", code=1)
    for check in ("secret.file", "dangling.library", "access.crossing"):
        assert check in said


def test_an_existing_file_is_left_alone(root: Path, tmp_path: Path) -> None:
    overlay = tmp_path / "mine.toml"
    overlay.write_text("# mine")
    words = ["learn", f"dir:{root}", "--output", str(overlay), "--json"]
    ended = CliRunner().invoke(app, words, env={"HORNET_HOME": str(tmp_path / "home")})
    assert "exists" in str(ended.exception)
    assert overlay.read_text() == "# mine"
    overlay.unlink()
    again = CliRunner().invoke(app, words, env={"HORNET_HOME": str(tmp_path / "home")})
    assert json.loads(again.stdout)["problems"] == []


@given(st.dictionaries(st.from_regex(r"\A[a-z]{1,9}\Z"), st.text().filter(str.isprintable) | st.floats(0, 1e9)))
def test_what_is_written_is_read_back(table: dict[str, str | float]) -> None:
    assert parse_toml(as_toml({"a.b": table}).encode()) == {"a": {"b": table}}
