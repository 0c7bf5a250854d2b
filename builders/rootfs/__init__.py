"""Builds root file systems: fetch, select or install, configure, pack. Each module does one step."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import builders.bill
import builders.licences
from builders.bill import artifact_component, as_cyclonedx
from builders.distros import DEFAULT_DISTRO, distro_named
from builders.rootfs import npm
from builders.rootfs.bill import bill_components, mounting_program
from builders.rootfs.compressed_usr import compress_usr
from builders.rootfs.content import OWN_COMPONENT, Content
from builders.rootfs.distro import Distro
from builders.rootfs.guest_files import FILES, GuestValues, write_guest_files
from builders.rootfs.image import make_ext4, write_tar
from builders.rootfs.native import SOURCES, install_programs
from builders.rootfs.toolbox import Toolbox, build_toolbox
from builders.toolchain import toolchain
from hornet.foreign_file import read_json
from hornet.host.artifact_store import Store, content_key, file_sha256
from hornet.host.progress import Progress
from hornet.host.workspace import Workspace
from hornet.snapshot.bundle import BILL_FILE
from hornet.spec.model import Spec
from hornet.spec.tiers import Layout

IMAGE_FILE = "rootfs.ext4"
MANIFEST_FILE = "manifest.json"
MAX_MANIFEST_BYTES = 1 << 20
MB = 1_000_000


@dataclass(frozen=True)
class RootfsArtifact:
    """A built image: its directory and its manifest."""

    directory: Path
    manifest: dict[str, Any]

    @property
    def image(self) -> Path:
        return self.directory / IMAGE_FILE

    @property
    def key(self) -> str:
        return self.directory.name


def build_rootfs(
    spec: Spec, workspace: Workspace, progress: Progress, *, tier: str, distro: str = DEFAULT_DISTRO
) -> RootfsArtifact:
    """The image of a tier, built if it is not in the store.

    Raises SpecError for an unknown tier or distro, BuildError if a download fails or the content does not fit.
    """
    spec.tier(tier)
    source = distro_named(distro)
    store = Store(workspace, progress.say)
    toolbox = build_toolbox(spec, store, progress)
    layer = source.fetch_layer(spec, tier, toolbox, store, progress)
    packages = {name: package for name, package in spec.rootfs.npm.items() if tier in package.tiers}
    npm_layers = npm.fetch_layers(packages, store, progress)
    inputs = {
        "layer": layer.name,
        "versions": file_sha256(source.versions_file(layer)),
        "npm": [path.name for path in npm_layers.values()],
        "toolbox": toolbox.identity,
        "tier": tier,
        "spec": spec.tier(tier).model_dump(),
        "init": spec.inits[spec.tier(tier).init].model_dump(),
        "distro": distro,
        "rootfs": spec.rootfs.model_dump(),
        "network": spec.network.model_dump(mode="json"),
        "secrets": [spec.secrets.port, spec.secrets.path],
        "health": spec.health.model_dump(),
        "agent": [spec.snapshot.thaw_after_s, spec.firecracker.agent_vsock_port],
        **own_inputs(),
    }

    def build(work: Path) -> None:
        root = work / "root"
        root.mkdir()
        with progress.step(tier, f"filling the tree of {distro}"):
            content = source.populate(spec, tier, layer, toolbox, root)
            npm.install(packages, npm_layers, root, content)
            _configure(spec, tier, source, root, content)
            source.finish(spec, root)
        with progress.step(tier, "writing the ext4 image"):
            seed = content_key({"tier": tier, "distro": distro, "network": inputs["network"]})
            max_mb, free_mb = spec.tier(tier).max_mb, spec.rootfs.free_mb[tier]
            facts = {"tier": tier, "guide_components": _guide_rows(spec, tier, source)}
            layout = spec.tier(tier).layout
            packing = Packing(seed, max_mb, free_mb, facts, as_installed=source.as_installed, layout=layout)
            pack(spec, toolbox, work, content, packing)

    directory = store.get_or_build("rootfs", inputs, build)
    return artifact(directory)


def artifact(directory: Path) -> RootfsArtifact:
    """The built image in a directory."""
    return RootfsArtifact(directory, read_json(directory / MANIFEST_FILE, MAX_MANIFEST_BYTES))


def own_inputs() -> dict[str, Any]:
    """The project's own inputs of an image, for its cache key: the builder and the files that it writes."""
    files = (path for path in sorted(FILES.rglob("*")) if path.is_symlink() or path.is_file())
    return {
        "files": {
            str(path.relative_to(FILES)): str(path.readlink()) if path.is_symlink() else file_sha256(path)
            for path in files
        },
        **toolchain(),
        "native": {path.name: file_sha256(path) for path in sorted(SOURCES.iterdir())},
        "builder": {path.name: file_sha256(path) for path in sorted(Path(__file__).parent.glob("*.py"))},
        "bill": [file_sha256(Path(str(module.__file__))) for module in (builders.bill, builders.licences)],
    }


def _configure(spec: Spec, tier: str, distro: Distro, root: Path, content: Content) -> None:
    """Write the project's own files and add each set's size to its component."""
    values = distro.guest_values(GuestValues.of_tier(spec, tier))
    for name, component in {"common": OWN_COMPONENT, **distro.file_sets(spec, tier)}.items():
        content.count_own(component, write_guest_files(name, values, root))
    content.count_own(OWN_COMPONENT, install_programs(root))


def _guide_rows(spec: Spec, tier: str, distro: Distro) -> dict[str, str]:
    """The row of the guide's table that each component counts for."""
    rows = {name: package.guide[tier] for name, package in spec.rootfs.npm.items() if tier in package.guide}
    return rows | distro.guide_rows(spec, tier)


@dataclass(frozen=True)
class Packing:
    """How to pack a tree into an image. facts: additional entries of the manifest.

    as_installed: a package manager made the tree and will change it, so owners are kept and equal files stay separate.
    """

    seed: str
    max_mb: float
    free_mb: float
    facts: Mapping[str, Any]
    as_installed: bool = False
    layout: Layout = "plain"


def pack(spec: Spec, toolbox: Toolbox, work: Path, content: Content, packing: Packing) -> None:
    """Pack work/root into the image and write its manifest."""
    root, tar_path, image = work / "root", work / "content.tar", work / IMAGE_FILE
    components = bill_components(content, as_installed=packing.as_installed)
    unpacked_bytes = sum(content.sizes_bytes({}).values())
    stored: dict[str, int] = {}
    if packing.layout == "compressed":
        stored = compress_usr(spec.rootfs, toolbox, root, work, as_installed=packing.as_installed)
    sizes_bytes = content.sizes_bytes(stored)
    write_tar(root, tar_path, spec.rootfs.source_date_epoch, as_installed=packing.as_installed)
    made = make_ext4(
        spec.rootfs,
        toolbox,
        tar_path=tar_path,
        image=image,
        seed=packing.seed,
        max_mb=packing.max_mb,
        free_mb=packing.free_mb,
    )
    tar_path.unlink()
    if packing.layout == "compressed":
        components.append(mounting_program(root))
    shutil.rmtree(root)
    sha256 = file_sha256(image)
    described = artifact_component(f"hornetos-{packing.facts['tier']}", content.distro, sha256)
    (work / BILL_FILE).write_text(as_cyclonedx(described, components, spec.rootfs.source_date_epoch))
    manifest = {
        "distro": content.distro,
        "layout": packing.layout,
        **packing.facts,
        "sha256": sha256,
        "size_mb": made.size_bytes / MB,
        "used_mb": made.used_bytes / MB,
        "free_mb": made.free_bytes / MB,
        "unpacked_mb": unpacked_bytes / MB,
        "components_mb": {name: size_bytes / MB for name, size_bytes in sizes_bytes.items()},
        "packages": content.packages,
        "npm": content.npm,
    }
    (work / MANIFEST_FILE).write_text(json.dumps(manifest, indent=2) + "\n")
