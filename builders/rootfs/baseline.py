"""The unslimmed image that the guide starts from (Phase 1): Debian with systemd and all files of its packages."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from builders.apt.packages import FETCH_TIMEOUT_S, PACKAGES_MODULE, TRUST
from builders.apt.sources import apt_sources, suites
from builders.rootfs import Packing, RootfsArtifact, artifact, npm, own_inputs, pack
from builders.rootfs.bill import installed_parts
from builders.rootfs.content import OWN_COMPONENT, Content, file_bytes
from builders.rootfs.guest_files import GuestValues, write_guest_files
from builders.rootfs.toolbox import build_toolbox
from hornet.errors import BuildError, HornetError
from hornet.host.artifact_store import Store, content_key, file_sha256
from hornet.host.proc import run
from hornet.host.progress import Progress
from hornet.host.workspace import Workspace
from hornet.spec.model import Spec

NAME = "baseline"
SSH_SERVER = "sshd"
SYSTEMD = "/usr/lib/systemd/systemd"


def build_baseline(spec: Spec, workspace: Workspace, progress: Progress) -> RootfsArtifact:
    """The baseline image of the spec, built if it is not in the store. Building takes two to three minutes.

    Raises BuildError if a package is unavailable or the content does not fit.
    """
    store = Store(workspace, progress.say)
    toolbox = build_toolbox(spec, store, progress)
    layer = _fetch_layer(spec, store, progress)
    whole = {name: spec.rootfs.npm[name].model_copy(update={"keep": ["*"]}) for name in spec.rootfs.baseline.npm}
    npm_layers = npm.fetch_layers(whole, store, progress)
    inputs = {
        "layer": layer.name,
        "versions": file_sha256(layer / "tree/var/lib/dpkg/status"),
        "npm": [path.name for path in npm_layers.values()],
        "toolbox": toolbox.identity,
        "baseline": spec.rootfs.baseline.model_dump(),
        "network": spec.network.model_dump(mode="json"),
        **own_inputs(),
    }

    def build(work: Path) -> None:
        root = work / "root"
        with progress.step(NAME, "filling the tree"):
            run(["cp", "-a", layer / "tree", root], timeout_s=FETCH_TIMEOUT_S)
            content = Content(f"debian {spec.rootfs.debian.suite}", root, {})
            content.count("Debian packages", filter(file_bytes, root.rglob("*")))
            content.parts += installed_parts(layer / "tree")
            npm.install(whole, npm_layers, root, content)
            guest = (spec.network, spec.secrets, spec.health, spec.snapshot, spec.firecracker.agent_vsock_port)
            values = GuestValues(*guest, NAME, "Baseline", SSH_SERVER, "/bin/bash", SYSTEMD)
            for files in ("common", "openssh", NAME):
                content.count_own(OWN_COMPONENT, write_guest_files(files, values, root))
        with progress.step(NAME, "writing the ext4 image"):
            size_mb = spec.rootfs.baseline.size_mb
            seed = content_key({"tier": NAME, "network": inputs["network"]})
            # All the room that the fixed size leaves: less than free_mb.
            pack(spec, toolbox, work, content, Packing(seed, size_mb, size_mb, {"tier": NAME}, as_installed=True))

    return artifact(store.get_or_build("rootfs", inputs, build))


def _fetch_layer(spec: Spec, store: Store, progress: Progress) -> Path:
    """Debian as its package manager installs it, including the package lists but without SSH host keys."""
    baseline, debian = spec.rootfs.baseline, spec.rootfs.debian
    inputs: dict[str, Any] = {
        "packages": sorted(baseline.packages),
        "services": baseline.services,
        "debian": debian.model_dump(include={"suite", "components", "mirror"}),
        "suites": suites(debian),
        "builder": [file_sha256(Path(__file__)), file_sha256(PACKAGES_MODULE)],
    }

    def install(work: Path) -> None:
        tree = work / "tree"
        argv = [
            *("mmdebstrap", "--mode=root", "--variant=minbase", "--architectures=amd64", TRUST),
            f"--include={','.join(sorted(baseline.packages))}",
            # The guide itself removes apt's leftovers, so they stay here.
            *("--skip=cleanup/apt/lists", "--dpkgopt=force-unsafe-io"),
            f'--customize-hook=chroot "$1" systemctl enable {" ".join(baseline.services)}',
            '--customize-hook=rm -f "$1"/etc/ssh/ssh_host_*',
            *(debian.suite, str(tree), *apt_sources(debian)),
        ]
        clock = {"SOURCE_DATE_EPOCH": str(spec.rootfs.source_date_epoch)}
        with progress.step(NAME, f"installing Debian {debian.suite}"):
            try:
                run(argv, timeout_s=FETCH_TIMEOUT_S, log=work / "packages.log", on_line=progress.update, env=clock)
            except HornetError as error:
                raise BuildError(error.message, "check that apt's mirror is reachable: apt-get update") from error
        # The kernel fills /dev, and the tar must not contain device nodes.
        shutil.rmtree(tree / "dev")
        (tree / "dev").mkdir()

    return store.get_or_build("packages", inputs, install)
