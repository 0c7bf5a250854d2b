"""Packages of the npm registry: pinned, each a layer of its own, installed where npm itself would put them."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

from builders.rootfs.content import Content, tree_bytes
from builders.rootfs.packages import fetch_npm
from hornet.progress import Progress
from hornet.rootfs_spec import NpmPackage
from hornet.store import Store, file_sha256

MODULES = "usr/local/lib/node_modules"
COMMANDS = "usr/local/bin"


def fetch_layers(packages: Mapping[str, NpmPackage], store: Store, progress: Progress) -> dict[str, Path]:
    """A layer for each package, by component, from the store if it is there. Raises BuildError."""
    return {component: _fetch_layer(package, store, progress) for component, package in packages.items()}


def _fetch_layer(package: NpmPackage, store: Store, progress: Progress) -> Path:
    inputs = {
        "package": package.model_dump(include={"package", "version", "integrity", "entry", "keep"}),
        "builder": file_sha256(Path(__file__).with_name("packages.py")),
    }

    def fetch(work: Path) -> None:
        with progress.step("npm", f"fetching {package.package} {package.version}"):
            fetch_npm(package, work / "package", work)

    return store.get_or_build("npm", inputs, fetch)


def install(packages: Mapping[str, NpmPackage], layers: Mapping[str, Path], root: Path, content: Content) -> None:
    """Copy the packages below /usr/local/lib/node_modules and link their commands."""
    for component, package in packages.items():
        target = root / MODULES / package.package
        shutil.copytree(layers[component] / "package", target)
        if package.command:
            (target / package.entry).chmod(0o755)
            command = root / COMMANDS / package.command
            command.parent.mkdir(parents=True, exist_ok=True)
            command.symlink_to(Path("../lib/node_modules") / package.package / package.entry)
        content.count(component, tree_bytes(target))
        content.npm[package.package] = package.version
