"""Root file systems from Debian packages: fetch, select, configure, pack; see each module for one step."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from builders.rootfs.guest_files import (
    FILES,
    bundle_certificates,
    link_applets,
    make_directories,
    write_guest_files,
)
from builders.rootfs.icu import shrink
from builders.rootfs.image import make_ext4, write_tar
from builders.rootfs.packages import extract_packages, fetch_npm
from builders.rootfs.select import Selection, select
from builders.rootfs.shims import replace_libraries
from hornet.home import Home
from hornet.progress import Progress
from hornet.spec import Spec
from hornet.store import Store, content_key, file_sha256

IMAGE_FILE = "rootfs.ext4"
MANIFEST_FILE = "manifest.json"
OWN_COMPONENT = "HornetOS files"
MB = 1_000_000


@dataclass(frozen=True)
class RootfsArtifact:
    """A built image: the file, what is known of it, and where it lies."""

    directory: Path
    manifest: dict[str, Any]

    @property
    def image(self) -> Path:
        return self.directory / IMAGE_FILE

    @property
    def key(self) -> str:
        return self.directory.name


def build_rootfs(spec: Spec, home: Home, progress: Progress, *, tier: str) -> RootfsArtifact:
    """The image of a tier, built if the store does not have it.

    Raises SpecError for an unknown tier, BuildError for anything that can't be fetched or does not fit.
    """
    spec.tier(tier)
    store = Store(home)
    fetched = store.get_or_build("packages", _package_inputs(spec), lambda work: _fetch(spec, work, progress))
    inputs = {
        "packages": fetched.name,
        "tier": tier,
        "rootfs": spec.rootfs.model_dump(),
        "network": spec.network.model_dump(mode="json"),
        "max_mb": spec.tier(tier).max_mb,
        "files": {str(path.relative_to(FILES)): file_sha256(path) for path in FILES.rglob("*") if path.is_file()},
        "builder": {path.name: file_sha256(path) for path in sorted(Path(__file__).parent.glob("*.py"))},
    }
    directory = store.get_or_build("rootfs", inputs, lambda work: _build(spec, tier, fetched, work, progress))
    return RootfsArtifact(directory, json.loads((directory / MANIFEST_FILE).read_text()))


def _package_inputs(spec: Spec) -> dict[str, Any]:
    debian = spec.rootfs.debian
    packages = {name: keep.packages for name, keep in debian.keep.items()}
    builder = [file_sha256(Path(__file__).with_name(name)) for name in ("packages.py", "icu.py", "shims.py")]
    pins = debian.model_dump(include={"suite", "components", "mirror", "toolbox", "npm"})
    return {"packages": packages, "builder": builder, **pins}


def _fetch(spec: Spec, work: Path, progress: Progress) -> None:
    """Everything that comes from outside: one layer, so that a change of our own files needs no network."""
    debian = spec.rootfs.debian
    tree = work / "tree"
    with progress.step("packages", f"fetching and unpacking Debian {debian.suite}"):
        versions = extract_packages(debian, tree, work, progress)
    with progress.step("packages", f"fetching {debian.npm.package} {debian.npm.version}"):
        fetch_npm(debian.npm, work / "npm", work)
    with progress.step("packages", "cutting ICU's data down to English"):
        slim = shrink(tree, work)
        shutil.copyfile(slim, tree / "usr/lib/x86_64-linux-gnu" / slim.name)
    replace_libraries(tree, work)
    (work / "versions.json").write_text(json.dumps(versions, indent=2) + "\n")


def _build(spec: Spec, tier: str, fetched: Path, work: Path, progress: Progress) -> None:
    tree, root = fetched / "tree", work / "root"
    rootfs, debian = spec.rootfs, spec.rootfs.debian
    with progress.step("rootfs", f"{tier}: selecting files"):
        keep = {name: part.paths for name, part in debian.keep.items() if tier in part.tiers}
        selection = select(tree, keep)
        _copy(selection, root)
        sizes_bytes = _component_sizes(selection)
    with progress.step("rootfs", f"{tier}: configuring"):
        if tier in debian.npm.tiers:
            sizes_bytes[debian.npm.component] = _install_npm(spec, fetched / "npm", root)
        before = _tree_bytes(root)
        make_directories(root)
        write_guest_files(spec, tier, root)
        bundle_certificates(tree, root)
        link_applets(tree, root)
        sizes_bytes[OWN_COMPONENT] = _tree_bytes(root) - before
    with progress.step("rootfs", f"{tier}: writing the ext4 image"):
        tar_path, image = work / "content.tar", work / IMAGE_FILE
        write_tar(root, tar_path, rootfs.source_date_epoch)
        seed = content_key({"tier": tier, "network": spec.network.model_dump(mode="json")})
        facts = make_ext4(rootfs, spec.tier(tier).max_mb, toolbox=tree, tar_path=tar_path, image=image, seed=seed)
        tar_path.unlink()
        shutil.rmtree(root)
    manifest = {
        "tier": tier,
        "distro": f"debian {debian.suite}",
        "sha256": file_sha256(image),
        "size_mb": facts.size_bytes / MB,
        "used_mb": facts.used_bytes / MB,
        "free_mb": facts.free_bytes / MB,
        "components_mb": {name: size / MB for name, size in sorted(sizes_bytes.items(), key=lambda item: -item[1])},
        "packages": json.loads((fetched / "versions.json").read_text()),
        "npm": {debian.npm.package: debian.npm.version},
    }
    (work / MANIFEST_FILE).write_text(json.dumps(manifest, indent=2) + "\n")


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


def _component_sizes(selection: Selection) -> dict[str, int]:
    sizes: dict[str, int] = {}
    for path, component in selection.component_by_path.items():
        full = selection.tree / path
        if full.is_file() and not full.is_symlink():
            sizes[component] = sizes.get(component, 0) + full.stat().st_size
    return sizes


def _install_npm(spec: Spec, source: Path, root: Path) -> int:
    """The package below /usr/local/lib/node_modules, where npm itself would put it, and its command."""
    package = spec.rootfs.debian.npm
    target = root / "usr/local/lib/node_modules" / package.package
    shutil.copytree(source, target)
    (target / package.entry).chmod(0o755)
    command = root / "usr/local/bin" / package.command
    command.parent.mkdir(parents=True, exist_ok=True)
    command.symlink_to(Path("../lib/node_modules") / package.package / package.entry)
    return _tree_bytes(target)


def _tree_bytes(root: Path) -> int:
    return sum(path.stat().st_size for path in root.rglob("*") if path.is_file() and not path.is_symlink())
