"""The image builder: what is selected and how it is counted, libraries cut to size, images that repeat to the byte."""

from __future__ import annotations

import io
import os
import subprocess
import tarfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builders.apt.packages import parse_listing
from builders.distros import DISTROS
from builders.rootfs import build_rootfs
from builders.rootfs.guest_files import GuestValues, write_guest_files
from builders.rootfs.icu import removable
from builders.rootfs.image import make_ext4, write_tar
from builders.rootfs.selection import LIBRARY_COMPONENT, expand_braces, select
from builders.rootfs.toolbox import build_toolbox
from hornet.checks.sizes import guide_comparison, rootfs_size_problems
from hornet.errors import BuildError, SpecError
from hornet.host.artifact_store import Store, file_sha256
from hornet.host.progress import Progress
from hornet.host.workspace import Workspace
from hornet.spec.model import load_spec

SPEC = load_spec()
QUIET = Progress(io.StringIO())
MULTIARCH = "usr/lib/x86_64-linux-gnu"


def compile_c(output: Path, source: str, *flags: str | Path) -> Path:
    output.parent.mkdir(parents=True, exist_ok=True)
    code = output.with_suffix(".c")
    code.write_text(source)
    subprocess.run(["gcc", "-O1", "-o", output, code, *flags], check=True, timeout=60)
    code.unlink()
    return output


# --- selection -------------------------------------------------------------------------------------------------------


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Two programs; libshared belongs to both, libmine to the second, which reaches it through a directory's link."""
    root = tmp_path / "tree"
    libraries = root / MULTIARCH
    kind = ("-shared", "-nostdlib")
    shared = compile_c(libraries / "libshared.so", "int shared(void) { return 1; }", *kind, "-Wl,-soname,libshared.so")
    mine = compile_c(libraries / "libmine.so.1.2", "int mine(void) { return 2; }", *kind, "-Wl,-soname,libmine.so.1")
    (libraries / "libmine.so.1").symlink_to("libmine.so.1.2")
    start = "void _start(void) { %s; for (;;); }"
    flags = ("-nostdlib", "-Wl,--dynamic-linker=/lib/ld.so", "-fno-builtin")
    compile_c(root / "usr/bin/one", f"int shared(void); {start % 'shared()'}", *flags, shared)
    compile_c(root / "usr/bin/two", f"int shared(void), mine(void); {start % 'shared(); mine()'}", *flags, shared, mine)
    (root / "usr/lib/ld.so").write_bytes(b"the loader")
    (root / "lib").symlink_to("usr/lib")
    return root


def test_libraries_count_for_the_only_component_that_needs_them(tree: Path) -> None:
    found = select(tree, {"One": ["/usr/bin/one"], "Two": ["/usr/bin/two"]}).component_by_path
    assert found[f"{MULTIARCH}/libshared.so"] == LIBRARY_COMPONENT
    assert found[f"{MULTIARCH}/libmine.so.1"] == found[f"{MULTIARCH}/libmine.so.1.2"] == "Two"
    assert found["usr/lib/ld.so"] == LIBRARY_COMPONENT, "the interpreter, through the link /lib"
    assert "lib" in found


def test_a_pattern_that_matches_nothing_is_named(tree: Path) -> None:
    with pytest.raises(BuildError, match="One: /usr/bin/three matches nothing"):
        select(tree, {"One": ["/usr/bin/three"]})


def test_a_library_that_no_package_has_is_named(tree: Path) -> None:
    (tree / MULTIARCH / "libshared.so").unlink()
    with pytest.raises(BuildError, match=r"needs libshared\.so, which no extracted package has"):
        select(tree, {"One": ["/usr/bin/one"]})


@given(st.lists(st.text("abc", max_size=3), min_size=1, max_size=4), st.text("xy*/", max_size=3))
def test_braces_are_every_choice(choices: list[str], around: str) -> None:
    pattern = f"{around}{{{','.join(choices)}}}{around}"
    assert list(expand_braces(pattern)) == [f"{around}{choice}{around}" for choice in choices]


def test_versions_are_read_from_names_of_packages() -> None:
    assert parse_listing("git_1%3a2.47.3-0_amd64.deb\nzlib1g_1.3_amd64.deb\n") == {"git": "1:2.47.3-0", "zlib1g": "1.3"}


def test_icu_keeps_english_and_what_belongs_to_no_language() -> None:
    items = ["en.res", "en_GB.res", "de.res", "coll/root.res", "zone/fr_CA.res", "nfc.nrm", "ibm-37.cnv", "unames.icu"]
    assert removable(items) == ["de.res", "zone/fr_CA.res", "ibm-37.cnv", "unames.icu"]


# --- component sizes -------------------------------------------------------------------------------------------------


def test_components_are_summed_by_row_of_the_guide() -> None:
    sizes = {"BusyBox": 0.8, "bash": 1.5, "Shared libraries": 10.0}
    rows = guide_comparison(sizes, {"BusyBox": "BusyBox + bash", "bash": "BusyBox + bash"}, {"BusyBox + bash": 3})
    assert [(row.name, row.found_mb, row.guide_mb, row.parts) for row in rows] == [
        ("Shared libraries", 10.0, None, ("Shared libraries",)),
        ("BusyBox + bash", pytest.approx(2.3), 3, ("BusyBox", "bash")),
    ]


def test_too_big_image_is_reported_with_its_biggest_components() -> None:
    (problem,) = rootfs_size_problems(SPEC.tier("micro"), 104.7, {"Node.js": 61.3, "Git": 14.9, "Tini": 0.03})
    assert "104.7 MB, at most 80 MB allowed, 24.7 MB too large; largest: Node.js 61.3 MB" in problem


def test_unknown_names_in_an_overlay_are_rejected(tmp_path: Path) -> None:
    overlay = tmp_path / "team.toml"
    for text, named in (
        ('[rootfs.debian.image_components."Git"]\nguide = { standard = "Mercurial" }\n', "Mercurial"),
        ('[rootfs.debian.image_components."Git"]\ntiers = ["tiny"]\n', "tiny"),
        ('[tiers.micro]\ninit = "runit"\n', "runit"),
        ('[tools.git]\ntiers = ["tiny"]\n', "tiny"),
        ('[slim]\ntools = ["hg"]\n', "hg"),
    ):
        overlay.write_text(text)
        with pytest.raises(SpecError, match=f"no '{named}' in the spec"):
            load_spec(overlays=[overlay])


def test_an_unknown_tier_or_distro_lists_the_known_ones(tmp_path: Path) -> None:
    for values, known in (
        ({"tier": "nano"}, "micro, standard, dev"),
        ({"tier": "micro", "distro": "arch"}, ", ".join(DISTROS)),
    ):
        with pytest.raises(SpecError) as caught:
            build_rootfs(SPEC, Workspace(tmp_path), QUIET, **values)
        assert known in caught.value.hint


# --- the project's own files -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("tier", SPEC.tiers)
def test_files_are_rendered_with_the_tiers_values(tier: str, tmp_path: Path) -> None:
    values = GuestValues.of_tier(SPEC, tier)
    for name in ("common", "debian"):
        assert write_guest_files(name, values, tmp_path)
    assert f"exec {SPEC.inits[SPEC.tier(tier).init].command}\n" in (tmp_path / "usr/sbin/init").read_text()
    assert os.access(tmp_path / "usr/sbin/init", os.X_OK)
    assert (tmp_path / "etc/shadow").stat().st_mode & 0o777 == 0o600
    scripts = [path for path in tmp_path.rglob("*") if path.is_file() and os.access(path, os.X_OK)]
    for script in scripts:
        subprocess.run(["sh", "-n", script], check=True, timeout=20)


def test_a_link_of_a_package_is_replaced_and_not_followed(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.write_text("untouched")
    root = tmp_path / "root"
    (root / "etc").mkdir(parents=True)
    (root / "etc/hostname").symlink_to(outside)
    write_guest_files("common", GuestValues.of_tier(SPEC, "standard"), root)
    assert (root / "etc/hostname").read_text() == f"{SPEC.network.hostname}\n"
    assert outside.read_text() == "untouched"


def test_services_of_openrc_are_there_for_every_runlevel(tmp_path: Path) -> None:
    write_guest_files("openrc", GuestValues.of_tier(SPEC, "standard"), tmp_path)
    links = [path for path in (tmp_path / "etc/runlevels").rglob("*") if path.is_symlink()]
    assert {link.parent.name for link in links} == {"sysinit", "boot", "default", "shutdown"}
    assert [link for link in links if not (tmp_path / str(link.readlink()).lstrip("/")).is_file()] == []


# --- the image -------------------------------------------------------------------------------------------------------


def content(root: Path) -> Path:
    (root / "etc").mkdir(parents=True)
    for name in ("a", "b"):
        (root / "etc" / name).write_text("the same")
    (root / "etc/other").write_text("x" * 9000)
    (root / "link").symlink_to("etc/a")
    return root


def test_tar_links_equal_files_except_in_installed_trees(tmp_path: Path) -> None:
    root = content(tmp_path / "root")
    os.chown(root / "etc/a", 7, 7)
    for as_installed, linked, owner in ((False, True, 0), (True, False, 7)):
        write_tar(root, tmp_path / "t.tar", 1, as_installed=as_installed)
        with tarfile.open(tmp_path / "t.tar") as tar:
            assert tar.getmember("./etc/b").islnk() is linked
            assert tar.getmember("./etc/a").uid == owner
            assert {member.mtime for member in tar} == {1}


def test_image_is_reproducible_and_has_the_requested_free_space(tmp_path: Path) -> None:
    toolbox = build_toolbox(SPEC, Store(Workspace.from_env()), QUIET)
    digests: set[str] = set()
    for name in ("one", "two"):
        root = content(tmp_path / name)
        os.utime(root / "etc/other", (len(digests), len(digests)))
        write_tar(root, tmp_path / f"{name}.tar", SPEC.rootfs.source_date_epoch)
        image = tmp_path / f"{name}.ext4"
        facts = make_ext4(
            SPEC.rootfs, toolbox, tar_path=tmp_path / f"{name}.tar", image=image, seed="s", max_mb=60, free_mb=20
        )
        assert facts.free_bytes >= 20_000_000
        assert facts.size_bytes == image.stat().st_size <= 60_000_000
        digests.add(file_sha256(image))
    assert len(digests) == 1
    subprocess.run(["e2fsck", "-fn", tmp_path / "one.ext4"], check=True, capture_output=True, timeout=60)
