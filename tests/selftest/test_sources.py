"""Images are made of a suite and its updates, from the mirrors that the host's apt has; keys know what came of it."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from builders.apt.packages import write_versions
from builders.apt.sources import apt_sources, configured_mirrors, configured_sources, suites
from builders.rootfs import build_rootfs, own_inputs
from builders.rootfs.toolbox import Toolbox
from builders.toolchain import toolchain
from hornet.host.artifact_store import Store, content_key
from hornet.host.progress import Progress
from hornet.host.workspace import Workspace
from hornet.spec.model import load_spec
from hornet.spec.rootfs import Debian

TRIXIE = load_spec().rootfs.debian.model_copy(update={"suite": "trixie", "components": ["main"]})
MAIN = "http://mirror.example/debian/"
SECURITY = "http://security.example/debian-security/"
ONE_LINE = f"""
# deb http://off.example/debian bookworm main
deb {MAIN} bookworm main contrib
deb [arch=amd64] {MAIN} bookworm-updates main
deb {SECURITY} bookworm-security main
deb http://packages.example/linux/debian bookworm stable
"""
DEB822 = f"""
Types: deb deb-src
URIs: {MAIN}
Suites: bookworm bookworm-updates
Components: main

# a comment
Types: deb
URIs: {SECURITY}
Suites: bookworm-security
Components: main

Types: deb
URIs: http://off.example/debian
Suites: bookworm-backports
Components: main
Enabled: no
"""


@pytest.fixture
def apt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The directory of apt's sources on a host with none."""
    monkeypatch.setattr("builders.apt.sources.APT_SOURCES", tmp_path)
    (tmp_path / "sources.list.d").mkdir()
    return tmp_path / "sources.list.d"


@pytest.mark.parametrize(("name", "text"), [("x.list", ONE_LINE), ("x.sources", DEB822)], ids=["one-line", "deb822"])
def test_updates_come_from_where_the_hosts_apt_has_them(name: str, text: str, apt: Path) -> None:
    (apt / name).write_text(text)
    assert configured_mirrors() == {"": MAIN, "-updates": MAIN, "-security": SECURITY}
    assert [line.split()[2:] for line in apt_sources(TRIXIE)] == [
        [MAIN, "trixie", "main"],
        [MAIN, "trixie-updates", "main"],
        [SECURITY, "trixie-security", "main"],
    ]
    assert suites(TRIXIE) == ["trixie", "trixie-updates", "trixie-security"]


def test_backports_come_with_their_release(apt: Path) -> None:
    """Their packages depend on those of the release, and `trixie-backports-security` does not exist."""
    (apt / "x.list").write_text(ONE_LINE)
    backports = TRIXIE.model_copy(update={"suite": "trixie-backports"})
    assert suites(backports) == [*suites(TRIXIE), "trixie-backports"]
    assert apt_sources(backports)[-1].split()[2] == MAIN


def test_sources_ignored_by_apt_are_ignored(apt: Path) -> None:
    (apt / "x.list.disabled").write_text(ONE_LINE)
    (apt / "x.sources").write_text(
        "not a source at all\n\nTypes: deb\nSuites: bookworm\n\nTypes: deb-src\nURIs: http://a/debian"
    )
    assert list(configured_sources()) == []


def test_package_unknown_to_apt_has_no_version(apt: Path) -> None:
    (apt / "x.list").write_text(f"deb {MAIN} bookworm main\n")
    assert suites(TRIXIE) == ["trixie"]


def test_host_without_debian_mirrors_uses_mmdebstraps_default(apt: Path) -> None:
    (apt / "x.list").write_text(f"deb http://mirror.example/ubuntu noble main\ndeb {SECURITY} bookworm-security main\n")
    assert apt_sources(TRIXIE) == []


def test_the_specs_own_mirror_is_the_only_one(apt: Path) -> None:
    (apt / "x.list").write_text(ONE_LINE)
    mine: Debian = TRIXIE.model_copy(update={"mirror": "file:///srv/debian"})
    assert [line.split()[2:4] for line in apt_sources(mine)] == [["file:///srv/debian", "trixie"]]


def test_another_compiler_is_another_key(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The compiler changes the guest's own programs."""
    gcc = tmp_path / "gcc"
    gcc.write_text("#!/bin/sh\necho 'gcc (Elsewhere 99.1) 99.1'\n")
    gcc.chmod(0o755)
    before = own_inputs()
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    assert toolchain()["compiler"] == "gcc (Elsewhere 99.1) 99.1"
    assert own_inputs() != before


def test_a_newer_package_is_another_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Names of packages stay the same when an update comes: the versions that a layer holds are in the image's key."""
    keys: list[str] = []

    def note_key(store: Store, kind: str, inputs: dict[str, object], build: object) -> Path:
        keys.append(content_key(inputs))
        raise KeyboardInterrupt

    toolbox = Toolbox(tmp_path / "toolbox/tree")
    for layer in ("toolbox", "layer"):
        (tmp_path / layer).mkdir()
        write_versions({"openssl": "3.0.1"}, tmp_path / layer)
    monkeypatch.setattr("builders.rootfs.build_toolbox", lambda *_: toolbox)
    monkeypatch.setattr("builders.rootfs.debian.DebianDistro.fetch_layer", lambda *_: tmp_path / "layer")
    monkeypatch.setattr("builders.rootfs.npm.fetch_layers", lambda *_: {})
    monkeypatch.setattr(Store, "get_or_build", note_key)
    for newer in (None, None, "layer", "toolbox"):
        if newer:
            write_versions({"openssl": "3.0.2"}, tmp_path / newer)
        with pytest.raises(KeyboardInterrupt):
            build_rootfs(load_spec(), Workspace(tmp_path), Progress(io.StringIO()), tier="standard")
    assert keys[0] == keys[1]
    assert len(set(keys)) == 3
