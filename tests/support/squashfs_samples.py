"""Images with a compressed /usr, made by the image builder's own tools in a second."""

from __future__ import annotations

import io
import tempfile
from functools import cache
from pathlib import Path

from builders.rootfs.compressed_usr import compress_usr
from builders.rootfs.toolbox import Toolbox, build_toolbox
from hornet.formats.overlay_tree import USR_FILE
from hornet.host.artifact_store import Store
from hornet.host.proc import run
from hornet.host.progress import Progress
from hornet.host.workspace import Workspace
from hornet.spec.model import load_spec

SPEC = load_spec()


@cache
def toolbox() -> Toolbox:
    return build_toolbox(SPEC, Store(Workspace.from_env()), Progress(io.StringIO()))


def compress(root: Path, work: Path) -> dict[str, int]:
    """Give a tree the compressed layout. work: an existing directory."""
    (root / "usr/lib/hornetos").mkdir(parents=True, exist_ok=True)
    (root / "usr/sbin").mkdir(exist_ok=True)
    # Regardless of the umask: an image's directories are for everybody.
    for directory in ("usr", "usr/lib", "usr/lib/hornetos", "usr/sbin"):
        (root / directory).chmod(0o755)
    (root / "usr/sbin/init").write_text("#!/usr/bin/sh\n")
    (root / "usr/sbin/init").chmod(0o755)
    if not (root / "sbin").exists():
        (root / "sbin").symlink_to("usr/sbin")
    return compress_usr(SPEC.rootfs, toolbox(), root, work, as_installed=False)


def make_image(root: Path, image: Path) -> None:
    run(["mke2fs", "-q", "-t", "ext4", "-d", root, image, "8M"], timeout_s=60)


def debugfs(image: Path, *commands: str) -> None:
    """Change an image without mounting it."""
    script = image.with_suffix(".commands")
    script.write_text("\n".join(commands) + "\n")
    run(["debugfs", "-w", "-f", script, image], timeout_s=20)


@cache
def small() -> bytes:
    """A squashfs file system with directories, files, links and equal files."""
    with tempfile.TemporaryDirectory() as directory:
        root, work = Path(directory, "root"), Path(directory, "work")
        work.mkdir()
        (root / "usr/share/deep").mkdir(parents=True)
        (root / "usr/share/text").write_text("text\n" * 1000)
        (root / "usr/share/deep/text").write_text("text\n" * 1000)
        (root / "usr/share/big").write_bytes(bytes(range(256)) * 1200)
        (root / "usr/share/link").symlink_to("deep/text")
        compress(root, work)
        return (root / USR_FILE.lstrip("/")).read_bytes()
