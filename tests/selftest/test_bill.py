"""Bills of materials: complete, valid CycloneDX, the same for equal builds, and bound to what they describe."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from builders.apt.packages import parse_contents
from builders.bill import Part, artifact_component, as_cyclonedx, snapshot_bill
from builders.kernel import PATCHES
from builders.kernel.bill import kernel_bill
from builders.licences import licences_of
from builders.rootfs.bill import bill_components, debian_part, installed_parts
from builders.rootfs.content import Content
from hornet.errors import BrokenSnapshotError, BuildError, SnapshotError
from hornet.host.artifact_store import file_sha256
from hornet.snapshot import Bundle, publishing
from hornet.snapshot.bill import bill_of, licence_counts
from hornet.snapshot.bundle import BILL_FILE
from tests.support.bundle_samples import NAMES, ORIGIN, fill, make_bundle
from tests.support.command_samples import PYTHON, run
from tests.support.image_samples import write

EPOCH_S = 1_767_225_600
MACHINE_READABLE = """\
Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/

Files: *
Copyright: 2026 Somebody
License: GPL-2+ or Expat

Files: debian/*
License: Apache-2.0, public-domain
 License: not a field
"""
CONTENTS = f"""\
\tgood\t1:2.0-1\tamd64\tgood-source\t1:2.0-1\t{"a" * 64}  -
./
./bin/good
./usr/share/doc/good/copyright
\tbare\t1\tall\tbare\t1\t{"b" * 64}  -
./etc/bare.conf
\tunused\t3\tall\tunused\t3\t{"c" * 64}  -
./usr/share/unused
"""


def problems(text: str) -> str | None:
    found = JsonStrictValidator(SchemaVersion.V1_6).validate_str(text)
    return str(found) if found else None


@pytest.fixture
def content(tmp_path: Path) -> Content:
    """A tree with files of two packages of three, of npm and of the project."""
    root, layer = tmp_path / "root", tmp_path / "layer"
    for path in ("usr/bin/good", "etc/bare.conf", "usr/local/lib/node_modules/x/index.js", "etc/own"):
        write(root, path, path)
    write(layer, "usr/share/doc/good/copyright", MACHINE_READABLE)
    content = Content("debian trixie", root, {})
    content.count_own("own", [root / "etc/own"])
    content.parts += [(debian_part(package, layer), package.files) for package in parse_contents(CONTENTS)]
    npm = Part("npm", "x", "1.0", "@scope", licences=("MIT",), hashes=(("SHA-512", "d" * 128),))
    content.parts.append((npm, {"usr/local/lib/node_modules/x/index.js"}))
    return content


def image_bill(content: Content) -> str:
    components = bill_components(content, as_installed=False)
    return as_cyclonedx(artifact_component("hornetos-micro", "debian trixie", "e" * 64), components, EPOCH_S)


def licences(component: dict[str, Any]) -> list[str]:
    return [entry["license"].get("id") or entry["license"]["name"] for entry in component["licenses"]]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (MACHINE_READABLE, ("Apache-2.0", "GPL-2.0-or-later", "MIT", "public-domain")),
        ("On Debian systems, see `/usr/share/common-licenses/GPL-3'.", ("GPL-3",)),
        ("Format: copyright-format\nLicense: LGPL-2.1\nLicense: GFDL-1.3+", ("GFDL-1.3-or-later", "LGPL-2.1-only")),
        ("This is free software.", ()),
        ("", ()),
    ],
)
def test_licences_are_read_from_a_copyright_file(text: str, found: tuple[str, ...]) -> None:
    assert licences_of(text) == found


def test_image_bill_has_each_package_with_version_licence_and_source(content: Content) -> None:
    text = image_bill(content)
    assert problems(text) is None
    found = {component["name"]: component for component in json.loads(text)["components"]}
    assert set(found) == {"good", "bare", "x", "HornetOS files"}, "unused has no file in the image"
    good = found["good"]
    assert good["purl"] == "pkg:deb/debian/good@1:2.0-1?arch=amd64"
    assert set(licences(good)) == {"Apache-2.0", "GPL-2.0-or-later", "MIT", "public-domain"}
    assert good["pedigree"]["ancestors"][0]["name"] == "good-source"
    assert good["hashes"] == [{"alg": "SHA-256", "content": "a" * 64}]
    assert licences(found["bare"]) == ["unknown"]
    assert found["x"]["purl"] == "pkg:npm/%40scope/x@1.0"
    (own,) = found["HornetOS files"]["components"]
    assert (own["name"], own["hashes"][0]["content"]) == ("/etc/own", file_sha256(content.root / "etc/own"))


def test_a_file_of_unknown_origin_fails_the_build(content: Content) -> None:
    write(content.root, "usr/bin/stray", "x")
    with pytest.raises(BuildError, match="1 files of the image belong to no package: usr/bin/stray"):
        bill_components(content, as_installed=False)
    *_, made = bill_components(content, as_installed=True)
    assert [component.name for component in made.components] == ["/usr/bin/stray"]


def test_equal_images_have_equal_bills(content: Content, tmp_path: Path) -> None:
    first = image_bill(content)
    content.root = Path(shutil.move(content.root, tmp_path / "other"))
    content.parts.reverse()
    assert image_bill(content) == first


def test_a_wrong_bill_fails_the_schema(content: Content) -> None:
    found = json.loads(image_bill(content))
    found["components"][0]["type"] = "thing"
    assert problems(json.dumps(found))


def test_packages_of_a_dpkg_database_are_found(tmp_path: Path) -> None:
    status = "Package: good\nStatus: install ok installed\nVersion: 2\nArchitecture: amd64\nSource: src (1.9)\n"
    write(tmp_path, "var/lib/dpkg/status", f"{status}Maintainer: x\nDescription: x\n")
    write(tmp_path, "var/lib/dpkg/info/good.list", "/.\n/bin/good\n")
    write(tmp_path, "usr/share/doc/good/copyright", MACHINE_READABLE)
    ((part, paths),) = installed_parts(tmp_path)
    assert (part.name, part.version, part.source) == ("good", "2", ("src", "1.9"))
    assert "usr/bin/good" in paths
    assert "MIT" in part.licences


def test_a_documentation_link_out_of_the_tree_is_not_followed(tmp_path: Path) -> None:
    write(tmp_path, "outside/copyright", MACHINE_READABLE)
    (tmp_path / "tree/usr/share/doc").mkdir(parents=True)
    (tmp_path / "tree/usr/share/doc/good").symlink_to(tmp_path / "outside")
    assert debian_part(parse_contents(CONTENTS)[0], tmp_path / "tree").licences == ()


@pytest.mark.parametrize(
    ("source", "ancestor"),
    [
        ({"debian": "linux-source-6.1", "version": "6.1.1-1"}, "pkg:deb/debian/linux-source-6.1@6.1.1-1"),
        ({"kernel.org": "6.1.1", "sha256": "f" * 64}, "pkg:generic/linux@6.1.1"),
        ({"tree_sha256": "f" * 64}, "pkg:generic/linux@6.1.1"),
    ],
)
def test_kernel_bill_names_its_source_and_patches(source: dict[str, str], ancestor: str, tmp_path: Path) -> None:
    text = kernel(tmp_path, source)
    assert problems(text) is None
    component = json.loads(text)["metadata"]["component"]
    assert [found["purl"] for found in component["pedigree"]["ancestors"]] == [ancestor]
    assert len(component["pedigree"]["patches"]) == len(list(PATCHES.glob("*.patch")))
    assert licences(component) == ["GPL-2.0-only"]


def kernel(directory: Path, source: dict[str, str] | None = None) -> str:
    (directory / "vmlinux").write_bytes(b"kernel")
    patches = sorted(PATCHES.glob("*.patch"))
    return kernel_bill(directory / "vmlinux", "6.1.1", source or {"tree_sha256": "f" * 64}, patches, EPOCH_S)


def test_snapshot_bill_has_image_and_kernel(content: Content, tmp_path: Path) -> None:
    text = snapshot_bill("v1", [json.loads(image_bill(content)), json.loads(kernel(tmp_path))])
    assert problems(text) is None
    image, linux = json.loads(text)["components"]
    assert (image["name"], linux["name"]) == ("hornetos-micro", "hornetos-linux")
    assert len(image["components"]) == 4


def test_licences_are_counted_for_the_report(content: Content) -> None:
    """`good` has four licences, each for some of its files."""
    bill = json.loads(image_bill(content))
    counts = licence_counts(bill)
    assert counts["MIT"] == 2, "good and x"
    assert set(counts) == {"MIT", "Apache-2.0", "GPL-2.0-or-later", "public-domain", "unknown"}
    assert next(iter(counts)) in {"MIT", "Apache-2.0"}
    bill["components"][0]["licenses"] = ["MIT"]
    with pytest.raises(SnapshotError, match="malformed"):
        licence_counts(bill)


@pytest.fixture
def built(tmp_path: Path) -> Path:
    """A built kernel with its bill."""
    (tmp_path / BILL_FILE).write_text(kernel(tmp_path))
    return tmp_path / "vmlinux"


def test_bill_of_a_built_file_is_found_through_a_link(built: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere/link").symlink_to(built)
    assert bill_of(tmp_path / "elsewhere/link", NAMES) == json.loads((tmp_path / BILL_FILE).read_text())


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "no bill of materials"),
        ("{", "JSON"),
        ("[]", "not a bill of materials"),
        ('{"bomFormat": "SPDX"}', "not a bill of materials in CycloneDX JSON"),
        ('{"bomFormat": "CycloneDX", "metadata": []}', "(?s)describes no single file.*name it: hornetos sbom"),
    ],
)
def test_missing_or_damaged_bill_is_named(content: str | None, said: str, built: Path) -> None:
    bill = built.with_name(BILL_FILE)
    bill.unlink()
    if content is not None:
        bill.write_text(content)
    with pytest.raises(SnapshotError, match=said):
        bill_of(built, NAMES)


def test_bill_of_other_content_is_refused(built: Path) -> None:
    built.write_bytes(b"another kernel")
    with pytest.raises(SnapshotError, match=r"SHA-256 .*, but sbom.cdx.json beside it describes"):
        bill_of(built, NAMES)


def with_bill(directory: Path, text: str) -> Bundle:
    with publishing(directory, NAMES) as bundle:
        fill(bundle)
        bundle.bill.write_text(text)
        bundle.seal(directory.name, ORIGIN)
    return Bundle(directory, NAMES)


@pytest.mark.parametrize("change", ["edited", "removed"])
def test_changed_bill_of_a_snapshot_is_detected(change: str, tmp_path: Path) -> None:
    bundle = with_bill(tmp_path / "v1", kernel(tmp_path))
    bundle.check_full()
    assert bill_of(bundle.directory, NAMES)["metadata"]["component"]["name"] == "hornetos-linux"
    bundle.bill.unlink()
    if change == "edited":
        bundle.bill.write_text(kernel(tmp_path).replace("6.1.1", "6.1.2"))
    for judge in (bundle.check_full, lambda: bill_of(bundle.directory, NAMES)):
        with pytest.raises(BrokenSnapshotError, match=BILL_FILE):
            judge()
    bundle.check_seal()


def test_snapshot_without_a_bill_says_so(tmp_path: Path) -> None:
    with pytest.raises(SnapshotError, match="no bill of materials: it was made without one"):
        bill_of(make_bundle(tmp_path / "v1").directory, NAMES)


def test_command_prints_writes_and_refuses(built: Path, tmp_path: Path) -> None:
    shown = run([PYTHON, "-m", "hornet_cli", "sbom", built])
    assert shown.returncode == 0, shown.stderr
    assert "licences: GPL-2.0-only (1)" in shown.stdout
    as_json = run([PYTHON, "-m", "hornet_cli", "sbom", built, "--json"])
    assert problems(as_json.stdout) is None
    run([PYTHON, "-m", "hornet_cli", "sbom", built, "--output", tmp_path / "copy"])
    assert json.loads((tmp_path / "copy").read_text()) == json.loads(as_json.stdout)
    built.with_name(BILL_FILE).write_text(built.with_name(BILL_FILE).read_text().replace('"name"', '"title"'))
    for words in ([built], [tmp_path / "gone"], [tmp_path]):
        refused = run([PYTHON, "-m", "hornet_cli", "sbom", *words])
        assert refused.returncode == 2, refused
        assert "next: " in refused.stderr
        assert "unexpected" not in refused.stderr
