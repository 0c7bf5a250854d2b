"""Pinned packages of the npm registry. Each is a separate layer, installed in npm's own directory."""

from __future__ import annotations

import base64
import hashlib
import shutil
import sys
import tarfile
from collections.abc import Mapping
from pathlib import Path

from builders.apt.packages import FETCH_TIMEOUT_S
from builders.bill import Part
from builders.rootfs.content import Content
from hornet.errors import BuildError, HornetError
from hornet.foreign_file import read_json
from hornet.host.artifact_store import Store, file_sha256
from hornet.host.proc import run
from hornet.host.progress import Progress
from hornet.spec.rootfs import NpmPackage

MODULES = "usr/local/lib/node_modules"
COMMANDS = "usr/local/bin"
MAX_DESCRIPTION_BYTES = 1 << 20


def fetch_layers(packages: Mapping[str, NpmPackage], store: Store, progress: Progress) -> dict[str, Path]:
    """A layer for each package, by component, fetched if it is not in the store. Raises BuildError."""
    return {component: _fetch_layer(package, store, progress) for component, package in packages.items()}


def _fetch_layer(package: NpmPackage, store: Store, progress: Progress) -> Path:
    inputs = {
        "package": package.model_dump(include={"package", "version", "integrity", "entry", "keep"}),
        "builder": file_sha256(Path(__file__)),
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
        files = [path for path in target.rglob("*") if path.is_file()]
        content.count(component, files)
        content.parts.append((_part(package, target), {str(path.relative_to(root)) for path in files}))
        content.npm[package.package] = package.version


def _part(package: NpmPackage, target: Path) -> Part:
    """The package for the bill of materials, with the licence that its package.json names."""
    description = target / "package.json"
    licence = read_json(description, MAX_DESCRIPTION_BYTES).get("license") if description.exists() else None
    namespace, _, name = package.package.rpartition("/")
    digest = base64.b64decode(package.integrity.partition("-")[2]).hex()
    licences = (licence,) if isinstance(licence, str) else ()
    return Part("npm", name, package.version, namespace, licences=licences, hashes=(("SHA-512", digest),))


def fetch_npm(package: NpmPackage, target: Path, work: Path) -> None:
    """Download the pinned npm package, check its integrity, and unpack the files that the spec keeps into `target`.

    Raises BuildError for an unreachable registry, content that differs from the pin, or a missing entry.
    """
    wanted = f"{package.package}@{package.version}"
    npm = Path(sys.executable).with_name("npm")
    argv = [str(npm), "pack", "--silent", "--pack-destination", str(work), wanted]
    try:
        run(argv, timeout_s=FETCH_TIMEOUT_S, log=work / "npm.log", cwd=work)
    except HornetError as error:
        raise BuildError(error.message, "check that npm's registry is reachable: npm ping") from error
    (archive,) = work.glob("*.tgz")
    digest = "sha512-" + base64.b64encode(hashlib.sha512(archive.read_bytes()).digest()).decode()
    if digest != package.integrity:
        raise BuildError(
            f"{wanted}: integrity {digest}, expected {package.integrity}",
            "the registry's content differs from the pin: do not use it before you know why",
        )
    _unpack(archive, package, target)


def _unpack(archive: Path, package: NpmPackage, target: Path) -> None:
    with tarfile.open(archive) as tar:
        for member in tar:
            inner = Path(member.name).relative_to("package") if member.name.startswith("package/") else None
            if inner and member.isfile() and any(inner.match(pattern) for pattern in package.keep):
                (target / inner).parent.mkdir(parents=True, exist_ok=True)
                content = tar.extractfile(member)
                (target / inner).write_bytes(content.read() if content else b"")
                (target / inner).chmod(member.mode & 0o755)
    archive.unlink()
    if not (target / package.entry).is_file():
        raise BuildError(f"{package.package}@{package.version} has no {package.entry}", "correct `entry` in the spec")
