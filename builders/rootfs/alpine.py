"""Builds root file systems from Alpine packages (guide: Phase 2). apk installs them and checks their signatures."""

from __future__ import annotations

import hashlib
import re
import shutil
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from builders.bill import Part
from builders.downloads import ALPINE_HINT, require_source
from builders.rootfs.content import OWN_COMPONENT, Content, file_bytes
from builders.rootfs.distro import Distro
from builders.rootfs.guest_files import GuestValues
from builders.rootfs.toolbox import Toolbox
from hornet.errors import BuildError, HornetError, SpecError
from hornet.host.artifact_store import Store, content_key, file_sha256
from hornet.host.proc import run
from hornet.host.progress import Progress
from hornet.spec.model import Spec
from hornet.spec.rootfs import Alpine

ARCHITECTURE = "x86_64"
LOADER = "lib/ld-musl-x86_64.so.1"
APK_TIMEOUT_S = 900
# Alpine's init is that of BusyBox, which starts OpenRC.
INIT_COMMAND = "/bin/busybox init"
INSTALLED_DATABASE = "lib/apk/db/installed"
LOCAL_SCHEMES = ("", "file")
STALL_TIMEOUT_S = 60
LARGEST_MINIROOTFS_BYTES = 64 << 20


def enable_services(alpine: Alpine, root: Path) -> None:
    """Enable services as `rc-update add` does. Raises BuildError for a service that no package contains."""
    for runlevel, services in alpine.services.items():
        for service in services:
            if not (root / "etc/init.d" / service).exists():
                raise BuildError(
                    f"no service {service!r} in the image",
                    "correct rootfs.alpine.services in spec/builders.toml, or add the package that contains it",
                )
            link = root / "etc/runlevels" / runlevel / service
            link.parent.mkdir(parents=True, exist_ok=True)
            link.unlink(missing_ok=True)
            link.symlink_to(f"/etc/init.d/{service}")


def _set_rc_sys(path: Path, value: str) -> None:
    """Guide: sed 's/^#rc_sys=""/rc_sys="lxc"/'. Raises BuildError if the line is missing, which sed would ignore."""
    text, line = path.read_text() if path.exists() else "", '#rc_sys=""'
    if line not in text.splitlines():
        raise BuildError(f"{path.name} of openrc has no line {line}", "read what this release of openrc expects")
    path.write_text(text.replace(f"\n{line}\n", f'\nrc_sys="{value}"\n'))


def _minirootfs(alpine: Alpine, store: Store, progress: Progress) -> Path:
    """The tree of Alpine's minirootfs: a local directory unchanged, or an unpacked archive."""
    given = _local_path(alpine.minirootfs)
    if given and given.is_dir():
        return given.resolve()
    if alpine.minirootfs_sha512 is None:
        raise SpecError("rootfs.alpine.minirootfs_sha512 is missing", "pin the archive: sha512sum FILE")
    inputs = {"minirootfs_sha512": alpine.minirootfs_sha512}

    def unpack(work: Path) -> None:
        archive = work / "minirootfs.tar.gz"
        with progress.step("alpine", f"fetching {alpine.minirootfs}"):
            _fetch(alpine, archive)
        (work / "tree").mkdir()
        run(["tar", "-C", work / "tree", "-xzf", archive, "--no-same-owner"], timeout_s=APK_TIMEOUT_S)
        archive.unlink()

    return store.get_or_build("minirootfs", inputs, unpack) / "tree"


def _fetch(alpine: Alpine, archive: Path) -> None:
    """The content of the pinned archive, a few MB, from the address in the spec."""
    given = _local_path(alpine.minirootfs)
    address = given.as_uri() if given else alpine.minirootfs
    if not given:
        require_source("Alpine's minirootfs", lambda: [address], hint=ALPINE_HINT)
    try:
        with urllib.request.urlopen(address, timeout=STALL_TIMEOUT_S) as response:
            content = response.read(LARGEST_MINIROOTFS_BYTES)
    except (urllib.error.URLError, TimeoutError, ConnectionError) as error:
        raise BuildError(f"{address}: {getattr(error, 'reason', error)}", ALPINE_HINT) from error
    found = hashlib.sha512(content).hexdigest()
    if found != alpine.minirootfs_sha512:
        raise BuildError(
            f"{address}: SHA-512 is {found}, the spec pins {alpine.minirootfs_sha512}",
            "the file is damaged or a different one: use another mirror, or correct the pin",
        )
    archive.write_bytes(content)


def _apk_add(alpine: Alpine, base: Path, packages: list[str], tree: Path, log: Path, progress: Progress) -> None:
    """Install into an empty tree. The minirootfs's own loader runs its apk, without chroot and without host changes.

    apk rejects an index or a package that is not signed with a key of the minirootfs.
    """
    loader, keys = base / LOADER, base / "etc/apk/keys"
    if not loader.exists() or not any(keys.glob("*.pub")):
        raise BuildError(f"{base}: no {LOADER} or no keys in etc/apk/keys", "name a complete minirootfs of Alpine")
    tree.mkdir()
    repositories = [f"{url}\n" for url in _repositories(alpine)]
    repositories_file = tree.with_name("repositories")
    repositories_file.write_text("".join(repositories))
    argv: list[str | Path] = [
        # Relative to `base`: the loader would split an absolute path at a colon.
        *(loader, "--library-path", "lib:usr/lib", base / "sbin/apk"),
        *("--root", tree, "--arch", ARCHITECTURE, "--keys-dir", keys, "--repositories-file", repositories_file),
        *("--no-progress", "--no-cache", "--update-cache", "--initdb", "add", *packages),
    ]
    try:
        run(argv, cwd=base, timeout_s=APK_TIMEOUT_S, log=log, on_line=progress.update)
    except HornetError as error:
        raise BuildError(error.message, ALPINE_HINT) from error
    # The image keeps the mirror's address, so that `apk upgrade` works in it (guide: SOP 1).
    (tree / "etc/apk/repositories").write_text("".join(repositories))


def _repositories(alpine: Alpine) -> list[str]:
    mirror = _local_path(alpine.mirror) or alpine.mirror.rstrip("/")
    return [f"{mirror}/v{alpine.version}/{name}" for name in alpine.repositories]


def _local_indexes(alpine: Alpine) -> Iterator[Path]:
    """The index files of a local mirror, which identify its packages. A remote mirror is queried each time."""
    if _local_path(alpine.mirror):
        for repository in _repositories(alpine):
            index = Path(repository) / ARCHITECTURE / "APKINDEX.tar.gz"
            if not index.is_file():
                raise BuildError(f"{index}: no such file", "name a directory with the layout of Alpine's mirrors")
            yield index


def _local_path(address: str) -> Path | None:
    """The path that a file:// URL or a plain path names; None for an address on the network."""
    parts = urlsplit(address)
    return Path(parts.path).resolve() if parts.scheme in LOCAL_SCHEMES else None


class _Package(NamedTuple):
    """An installed package. files: paths without a leading slash."""

    part: Part
    files: list[str]


def _installed(database: Path) -> Iterator[_Package]:
    """The packages in apk's database: P name, V version, L licence, o source, F a directory, R a file in it."""
    for block in database.read_text().strip().split("\n\n"):
        lines = [(line[0], line[2:]) for line in block.splitlines() if line[1:2] == ":"]
        fields, directory, files = dict(lines), "", []
        for letter, text in lines:
            directory = text if letter == "F" else directory
            files += [f"{directory}/{text}".lstrip("/")] if letter == "R" else []
        licences = tuple(name for name in re.split(r"[ ()]+", fields.get("L", "")) if name not in ("", "AND", "OR"))
        source = (fields["o"], fields["V"]) if "o" in fields else None
        yield _Package(Part("apk", fields["P"], fields["V"], "alpine", (), licences, source), files)


class AlpineDistro:
    """See Distro."""

    as_installed = True

    def fetch_layer(self, spec: Spec, tier: str, toolbox: Toolbox, store: Store, progress: Progress) -> Path:
        """The tier's packages, installed by the apk of Alpine's minirootfs. Raises SpecError, BuildError."""
        alpine = spec.rootfs.alpine
        if tier not in alpine.packages:
            raise SpecError(
                f"rootfs.alpine.packages has no list for tier {tier!r}",
                f"build one of {', '.join(alpine.packages)} from Alpine, or {tier} from Debian",
            )
        base = _minirootfs(alpine, store, progress)
        inputs: dict[str, Any] = {
            "alpine": alpine.model_dump(include={"version", "mirror", "repositories"}),
            "packages": alpine.packages[tier],
            "minirootfs": content_key({"tree": str(base)}),
            "indexes": [file_sha256(index) for index in _local_indexes(alpine)],
            "builder": file_sha256(Path(__file__)),
        }

        def install(work: Path) -> None:
            with progress.step(tier, f"installing Alpine {alpine.version} from {alpine.mirror}"):
                _apk_add(alpine, base, alpine.packages[tier], work / "tree", work / "apk.log", progress)

        return store.get_or_build("packages", inputs, install)

    def versions_file(self, layer: Path) -> Path:
        return layer / "tree" / INSTALLED_DATABASE

    def populate(self, spec: Spec, tier: str, layer: Path, toolbox: Toolbox, root: Path) -> Content:
        """Copy the installed packages to `root`, clean up and set rc_sys. finish() enables services."""
        alpine = spec.rootfs.alpine
        run(["cp", "-a", f"{layer}/tree/.", root], timeout_s=APK_TIMEOUT_S)
        for pattern in alpine.cleanup:
            for path in root.glob(pattern.lstrip("/")):
                shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
        _set_rc_sys(root / "etc/rc.conf", alpine.rc_sys)
        (root / "root/.ssh").mkdir(mode=0o700, parents=True, exist_ok=True)
        content = Content(f"alpine {alpine.version}", root, {})
        for package in _installed(root / INSTALLED_DATABASE):
            content.packages[package.part.name] = package.part.version
            content.parts.append((package.part, set(package.files)))
            content.count(package.part.name, (path for name in package.files if file_bytes(path := root / name)))
        return content

    def guest_values(self, values: GuestValues) -> GuestValues:
        return replace(values, init_command=INIT_COMMAND)

    def file_sets(self, spec: Spec, tier: str) -> dict[str, str]:
        return {"openssh": OWN_COMPONENT, "alpine": OWN_COMPONENT}

    def finish(self, spec: Spec, root: Path) -> None:
        enable_services(spec.rootfs.alpine, root)

    def guide_rows(self, spec: Spec, tier: str) -> dict[str, str]:
        return dict(spec.rootfs.alpine.guide)


DISTRO: Distro = AlpineDistro()
