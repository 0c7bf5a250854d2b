"""Kernels from source (guide: Phase 3): fetch, patch, configure, compile, strip padding; one module for each step."""

from __future__ import annotations

import os
import re
import shutil
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from builders.kernel.bill import kernel_bill
from builders.kernel.configure import configure, fragment
from builders.kernel.elf import check_loadable, strip_padding
from builders.kernel.make import make
from builders.kernel.source import Source, find_source
from builders.toolchain import toolchain
from hornet.errors import HostError
from hornet.formats.kconfig import read_config
from hornet.host.artifact_store import Store, file_sha256
from hornet.host.compiler_cache import cache_environment
from hornet.host.proc import Completed, run
from hornet.host.progress import Progress
from hornet.host.workspace import Workspace
from hornet.snapshot.bundle import BILL_FILE
from hornet.spec.model import Spec

VMLINUX_FILE = "vmlinux"
CONFIG_FILE = "config"
SYMBOLS_FILE = "System.map"
LOG_FILE = "build.log"
PATCHES = Path(__file__).parent / "patches"
BUILD_TIMEOUT_S = 3600.0
STEP_TIMEOUT_S = 300.0
# The unpacked source and its objects take 2 GB during the build.
NEEDED_BYTES = 3_000_000_000
# The tools that the build calls, and the Debian packages that contain them.
TOOLS = {
    "gcc": "gcc",
    "ld": "binutils",
    "make": "make",
    "bc": "bc",
    "bison": "bison",
    "flex": "flex",
    "patch": "patch",
    "tar": "tar",
    "xz": "xz-utils",
    "ccache": "ccache",
}
# The line that make prints for each object, and the number of objects of Linux 6.1 with the flags of the spec.
OBJECT_LINE = re.compile(r"^ +(?:CC|AS) +\S+$", re.MULTILINE)
USUAL_OBJECTS = 1393
MB = 1_000_000


@dataclass(frozen=True)
class KernelArtifact:
    """A built kernel: vmlinux, its .config, its version (such as 6.1.192), its cache key and its directory."""

    vmlinux: Path
    config: Path
    version: str
    key: str
    directory: Path


def build_kernel(spec: Spec, workspace: Workspace, progress: Progress, *, source: str | None = None) -> KernelArtifact:
    """The kernel of the spec from `source` (a name in kernel.sources or a local tree; None: the spec's default).

    The store caches it. Raises SpecError for an unknown source, HostError for a missing tool or too little disk space,
    BuildError for an unavailable source, flags that don't hold or a kernel that can't be loaded, CommandError with the
    compiler's last lines if compiling fails.
    """
    _require_tools()
    found = find_source(spec, workspace, progress, source)
    inputs = _inputs(spec, found)
    store = Store(workspace, progress.say)
    directory = store.get_or_build("kernel", inputs, lambda work: _build(spec, workspace, found, work, progress))
    config = directory / CONFIG_FILE
    version = read_config(config).version or "unknown"
    return KernelArtifact(directory / VMLINUX_FILE, config, version, directory.name, directory)


def _require_tools() -> None:
    missing = [tool for tool in TOOLS if shutil.which(tool) is None]
    if missing:
        packages = " ".join(sorted({TOOLS[tool] for tool in missing}))
        raise HostError(f"a kernel can't be built without: {', '.join(missing)}", f"apt-get install {packages}")


def _inputs(spec: Spec, source: Source) -> dict[str, Any]:
    """All inputs of the build, for the cache key: the same inputs give the same bytes."""
    recipe = [*sorted(Path(__file__).parent.glob("*.py")), *sorted(PATCHES.glob("*.patch"))]
    return {
        "source": source.identity,
        "fragment": fragment(spec.kernel),
        "timestamp": _timestamp(spec),
        **toolchain(),
        "recipe": {path.name: file_sha256(path) for path in recipe},
    }


def _timestamp(spec: Spec) -> str:
    return time.strftime("%a %b %d %H:%M:%S UTC %Y", time.gmtime(spec.rootfs.source_date_epoch))


def _build(spec: Spec, workspace: Workspace, source: Source, work: Path, progress: Progress) -> None:
    """Fill `work` with the artifact. The source tree is unpacked below it and removed at the end."""
    free_bytes = shutil.disk_usage(work).free
    if free_bytes < NEEDED_BYTES:
        raise HostError(
            f"{workspace.root}: {free_bytes / MB:.0f} MB free, a kernel build takes {NEEDED_BYTES / MB:.0f} MB",
            "free space there, or set HORNET_HOME to a directory on another disk",
        )
    log, tree = work / LOG_FILE, work / "source"
    tree.mkdir()
    with progress.step("kernel", f"unpacking {' '.join(source.identity.values())}"):
        source.unpack(tree, log)
        for patch in sorted(PATCHES.glob("*.patch")):
            words: list[str | Path] = ["patch", "-p1", "--forward", "--no-backup-if-mismatch", "-i", patch]
            run(words, cwd=tree, timeout_s=STEP_TIMEOUT_S, log=log, hint=f"adapt {patch} to this kernel version")
    make_here = partial(_make, spec, workspace, tree, log)
    with progress.step("kernel", "configuring"):
        config = configure(tree, spec.kernel, spec.machine.boot_args, make_here)
    with progress.step("kernel", f"compiling Linux {config.version} (log: {log})"):
        make_here(
            f"-j{len(os.sched_getaffinity(0))}",
            "vmlinux",
            on_line=CompileProgress(progress, expected_objects(workspace)),
        )
    strip_padding(tree / "vmlinux", work / VMLINUX_FILE)
    check_loadable(work / VMLINUX_FILE)
    shutil.copy(tree / ".config", work / CONFIG_FILE)
    shutil.copy(tree / "System.map", work / SYMBOLS_FILE)
    shutil.rmtree(tree)
    patches, epoch_s = sorted(PATCHES.glob("*.patch")), spec.rootfs.source_date_epoch
    text = kernel_bill(work / VMLINUX_FILE, config.version or "unknown", source.identity, patches, epoch_s)
    (work / BILL_FILE).write_text(text)
    progress.say(f"kernel: vmlinux of {(work / VMLINUX_FILE).stat().st_size / MB:.2f} MB")


def _make(spec: Spec, workspace: Workspace, tree: Path, log: Path, *words: str, **options: Any) -> Completed:
    """Run make with ccache in the source tree. User, host, build number and time in the kernel are constant."""
    fixed = {
        "KBUILD_BUILD_USER": "hornetos",
        "KBUILD_BUILD_HOST": "hornetos",
        "KBUILD_BUILD_VERSION": "1",
        "KBUILD_BUILD_TIMESTAMP": _timestamp(spec),
        "LOCALVERSION": "",
        "LC_ALL": "C",
        **cache_environment(workspace),
        "MAKEFLAGS": "",
    }
    return make(
        tree,
        *("ARCH=x86_64", "CC=ccache gcc", "HOSTCC=ccache gcc", *words),
        env=fixed,
        log=log,
        timeout_s=BUILD_TIMEOUT_S,
        hint="read the log: the first error is the one that counts",
        **options,
    )


class CompileProgress:
    """Turns make's output into progress: the percentage of compiled objects, and the newest object."""

    def __init__(self, progress: Progress, expected: int) -> None:
        self._progress = progress
        self._expected = expected
        self._objects = 0

    def __call__(self, line: str) -> None:
        if OBJECT_LINE.fullmatch(line):
            self._objects += 1
            # An estimate: the number depends on the source and the flags. The last percent is for linking.
            share = min(99, 100 * self._objects // self._expected)
            self._progress.update(f"{share} %: {self._objects} of about {self._expected} objects, {line.split()[1]}")


def expected_objects(workspace: Workspace) -> int:
    """The expected number of objects: that of the last kernel built in this HORNET_HOME."""
    logs = sorted(workspace.build.glob(f"kernel/*/{LOG_FILE}"), key=lambda log: log.stat().st_mtime)
    found = OBJECT_LINE.findall(logs[-1].read_text(errors="replace")) if logs else []
    return len(found) or USUAL_OBJECTS
