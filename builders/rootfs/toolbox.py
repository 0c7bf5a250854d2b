"""Debian's build tools, from the suite that images are built from, so that the host's versions do not matter."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from builders.apt.packages import PACKAGES_MODULE, VERSIONS_FILE, extract_packages, write_versions
from builders.apt.sources import suites
from hornet.errors import BuildError
from hornet.host.artifact_store import Store, file_sha256
from hornet.host.own_loader import PROGRAM_DIRECTORIES, own_loader
from hornet.host.proc import run
from hornet.host.progress import Progress
from hornet.spec.model import Spec

# Compressing Dev's /usr takes more than 300 s of one processor that is busy.
TIMEOUT_S = 1800


@dataclass(frozen=True)
class Toolbox:
    """A tree of unpacked Debian packages whose programs run on this host with their own libraries."""

    tree: Path

    @property
    def identity(self) -> list[str]:
        """The toolbox's part of an artifact's cache key: how it was built, and its package versions."""
        return [self.tree.parent.name, file_sha256(self.tree.with_name(VERSIONS_FILE))]

    def run(self, tool: str, *args: str | Path, cwd: Path | None = None, env: Mapping[str, str] | None = None) -> str:
        """Run a program of the tree with the tree's own loader. Returns its output. Raises CommandError."""
        program = next(
            (self.tree / where / tool for where in PROGRAM_DIRECTORIES if (self.tree / where / tool).exists()), None
        )
        if program is None:
            raise BuildError(f"{self.tree} has no {tool}", "add its package to rootfs.toolbox in spec/builders.toml")
        return run([*own_loader(self.tree, program), *args], timeout_s=TIMEOUT_S, cwd=cwd, env=env).output


def build_toolbox(spec: Spec, store: Store, progress: Progress) -> Toolbox:
    """The toolbox of the spec, fetched if it is not in the store. Raises BuildError."""
    rootfs = spec.rootfs
    inputs = {
        "packages": rootfs.toolbox,
        "debian": rootfs.debian.model_dump(include={"suite", "components", "mirror"}),
        "suites": suites(rootfs.debian),
        "builder": file_sha256(PACKAGES_MODULE),
    }

    def fetch(work: Path) -> None:
        with progress.step("toolbox", f"fetching {', '.join(rootfs.toolbox)}"):
            versions = extract_packages(rootfs.debian, rootfs.toolbox, work / "tree", work, progress)
        write_versions(versions, work)

    return Toolbox(store.get_or_build("toolbox", inputs, fetch) / "tree")
