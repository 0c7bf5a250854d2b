"""Builds root file systems from Debian packages: fetches a layer, then selects the tier's files from it."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from builders.apt.packages import (
    CONTENTS_FILE,
    MAX_CONTENTS_BYTES,
    MAX_VERSIONS_BYTES,
    PACKAGES_MODULE,
    VERSIONS_FILE,
    DebPackage,
    extract_packages,
    parse_contents,
    write_versions,
)
from builders.apt.sources import suites
from builders.rootfs.bill import debian_part
from builders.rootfs.content import Content
from builders.rootfs.distro import Distro
from builders.rootfs.guest_files import (
    CERTIFICATE_BUNDLE,
    GuestValues,
    bundle_certificates,
    link_applets,
    make_directories,
)
from builders.rootfs.icu import shrink
from builders.rootfs.selection import Selection, select
from builders.rootfs.stub_libraries import CURL_GNUTLS, LIBRARIES, replace_libraries
from builders.rootfs.toolbox import Toolbox
from builders.toolchain import toolchain
from hornet.foreign_file import read_json, read_text
from hornet.host.artifact_store import Store, file_sha256
from hornet.host.progress import Progress
from hornet.spec.model import Spec
from hornet.spec.rootfs import Component

CERTIFICATES_COMPONENT, CERTIFICATES_PACKAGE = "Certificates", "ca-certificates"
RECIPE = ("icu.py", "stub_libraries.py")


def components(spec: Spec, tier: str) -> dict[str, Component]:
    """The components of an image of this tier."""
    return {name: it for name, it in spec.rootfs.debian.image_components.items() if tier in it.tiers}


def _copy(selection: Selection, root: Path) -> None:
    for path in sorted(selection.component_by_path):
        source, target = selection.tree / path, root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_symlink():
            target.symlink_to(source.readlink())
        elif source.is_dir():
            target.mkdir(exist_ok=True)
        else:
            shutil.copy(source, target)


def _count(selection: Selection, content: Content) -> None:
    """Count the selected files. A file with several hard links counts once."""
    seen: set[int] = set()
    for path, component in selection.component_by_path.items():
        inode = (selection.tree / path).lstat().st_ino
        if inode not in seen:
            seen.add(inode)
            content.count(component, [content.root / path])


def _packages(layer: Path) -> list[DebPackage]:
    return parse_contents(read_text(layer / CONTENTS_FILE, MAX_CONTENTS_BYTES))


def _paths(package: DebPackage) -> set[str]:
    """Where files of a package are in the image: the certificates are in one file there."""
    return package.files | ({CERTIFICATE_BUNDLE} if package.name == CERTIFICATES_PACKAGE else set())


class DebianDistro:
    """See Distro."""

    as_installed = False

    def fetch_layer(self, spec: Spec, tier: str, toolbox: Toolbox, store: Store, progress: Progress) -> Path:
        """The tier's unpacked packages. They are a separate layer, so that changes of our own files need no network."""
        debian = spec.rootfs.debian
        packages = sorted({name for component in components(spec, tier).values() for name in component.packages})
        cut_icu = spec.tier(tier).layout == "plain"
        inputs: dict[str, Any] = {
            "packages": packages,
            "debian": debian.model_dump(include={"suite", "components", "mirror"}),
            "suites": suites(debian),
            **toolchain(),
            "stub_libraries": debian.stub_libraries,
            "cut_icu": cut_icu,
            "toolbox": toolbox.identity,
            "builder": [file_sha256(path) for path in (PACKAGES_MODULE, *map(Path(__file__).with_name, RECIPE))],
        }

        def fetch(work: Path) -> None:
            tree = work / "tree"
            with progress.step(tier, f"fetching and unpacking Debian {debian.suite}"):
                versions = extract_packages(debian, packages, tree, work, progress)
            if cut_icu:
                with progress.step(tier, "cutting ICU's data down to English"):
                    slim = shrink(tree, toolbox, work)
                    shutil.move(slim, tree / "usr/lib/x86_64-linux-gnu" / slim.name)
            replace_libraries(tree, work, debian.stub_libraries)
            write_versions(versions, work)

        return store.get_or_build("packages", inputs, fetch)

    def versions_file(self, layer: Path) -> Path:
        return layer / VERSIONS_FILE

    def populate(self, spec: Spec, tier: str, layer: Path, toolbox: Toolbox, root: Path) -> Content:
        """Fill `root` with the tier's files of the layer. The builder writes its own files later."""
        tree = layer / "tree"
        selection = select(tree, {name: it.paths for name, it in components(spec, tier).items() if it.paths})
        _copy(selection, root)
        make_directories(root)
        link_applets(Toolbox(tree), root)
        content = Content(
            distro=f"debian {spec.rootfs.debian.suite}",
            root=root,
            packages=read_json(layer / VERSIONS_FILE, MAX_VERSIONS_BYTES),
        )
        _count(selection, content)
        content.count(CERTIFICATES_COMPONENT, [bundle_certificates(tree, root)])
        content.parts += [(debian_part(package, tree), _paths(package)) for package in _packages(layer)]
        if spec.tier(tier).layout == "plain":
            names = (CURL_GNUTLS, *spec.rootfs.debian.stub_libraries)
            content.own |= {f"{LIBRARIES}/{name}" for name in names if (root / LIBRARIES / name).exists()}
        return content

    def guest_values(self, values: GuestValues) -> GuestValues:
        return values

    def file_sets(self, spec: Spec, tier: str) -> dict[str, str]:
        return {it.files: name for name, it in components(spec, tier).items() if it.files}

    def finish(self, spec: Spec, root: Path) -> None:
        """Nothing to do: the builder's own files start the services."""

    def guide_rows(self, spec: Spec, tier: str) -> dict[str, str]:
        return {name: it.guide[tier] for name, it in components(spec, tier).items() if tier in it.guide}


DISTRO: Distro = DebianDistro()
