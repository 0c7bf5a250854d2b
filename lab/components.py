"""What the lab is made of: a kernel, BusyBox, QEMU and virtiofsd of Debian's packages, in the artifact store."""

from __future__ import annotations

import lzma
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from builders.apt.packages import PACKAGES_MODULE, extract_packages, write_versions
from builders.apt.sources import suites
from hornet.errors import BuildError
from hornet.host.artifact_store import Store, file_sha256
from hornet.host.proc import run
from hornet.host.progress import Progress
from hornet.spec.model import Spec

KIND = "lab"
TREE, INITRAMFS = "tree", "initramfs.cpio"
MODULES = "usr/lib/modules"
# Needed nowhere, and a third of the packages.
LEFT_OUT = ("usr/share/doc", "usr/share/man", "usr/share/locale", "usr/share/icons", "var", "etc/apt")
# Where lab/enter.sh mounts something.
MOUNT_POINTS = ("host", "run", "proc", "dev")
DEVICES = ("null", "urandom")
TIMEOUT_S = 300


@dataclass(frozen=True)
class Components:
    """The artifact. tree: a root directory in which QEMU and virtiofsd run, with the kernel and its modules."""

    directory: Path

    @property
    def tree(self) -> Path:
        return self.directory / TREE

    @property
    def initramfs(self) -> Path:
        """BusyBox and the modules that are loaded first. A job's own files are appended to it."""
        return self.directory / INITRAMFS

    @property
    def kernel(self) -> str:
        """The kernel's path in the tree."""
        return f"/boot/{_one(self.tree / 'boot', 'vmlinuz-*').name}"

    @property
    def release(self) -> str:
        """The kernel's release, as in `6.12.118+deb13-cloud-amd64`."""
        return self.kernel.removeprefix("/boot/vmlinuz-")

    @property
    def modules(self) -> Path:
        """The directory to mount as /usr/lib/modules."""
        return self.tree / MODULES

    @property
    def busybox(self) -> Path:
        """BusyBox, linked statically: it runs anywhere."""
        return self.tree / "usr/bin/busybox"


def lab_inputs(spec: Spec) -> dict[str, object]:
    """What the artifact's key is made of."""
    return {
        "packages": spec.lab.packages,
        "modules": spec.lab.modules,
        "debian": spec.rootfs.debian.model_dump(include={"suite", "components", "mirror"}),
        "suites": suites(spec.rootfs.debian),
        "builder": [file_sha256(PACKAGES_MODULE), file_sha256(Path(__file__))],
    }


def built_components(spec: Spec, store: Store) -> Components | None:
    """The lab's components if they are in the store; their content is not checked."""
    path = store.path(KIND, lab_inputs(spec))
    return Components(path) if path.is_dir() else None


def build_components(spec: Spec, store: Store, progress: Progress) -> Components:
    """The lab's components, fetched if they are not in the store. Raises BuildError."""

    def build(work: Path) -> None:
        tree = work / TREE
        with progress.step(KIND, f"fetching {', '.join(spec.lab.packages)}"):
            versions = extract_packages(spec.rootfs.debian, spec.lab.packages, tree, work, progress)
        write_versions(versions, work)
        _tidy(tree)
        with progress.step(KIND, "unpacking kernel modules"):
            _unpack_modules(tree)
            _make_initramfs(Components(work), spec.lab.modules, work)

    return Components(store.get_or_build(KIND, lab_inputs(spec), build))


def make_cpio(busybox: Path, directory: Path, target: Path) -> None:
    """Pack a directory as an initramfs. Raises CommandError."""
    script = 'find . | "$0" cpio -o -H newc -R 0:0 >"$1"'
    run(["sh", "-c", script, busybox, target], timeout_s=TIMEOUT_S, cwd=directory)


def _tidy(tree: Path) -> None:
    """Leave out what no program needs, and add what the package base-files has: the links, and mount points."""
    for name in LEFT_OUT:
        shutil.rmtree(tree / name, ignore_errors=True)
    for name in ("bin", "sbin", "lib", "lib64"):
        if not (tree / name).exists():
            (tree / name).symlink_to(f"usr/{name}")
    shutil.rmtree(tree / "dev", ignore_errors=True)
    for name in MOUNT_POINTS:
        (tree / name).mkdir(exist_ok=True)
    for name in DEVICES:
        (tree / "dev" / name).touch()


def _unpack_modules(tree: Path) -> None:
    """BusyBox loads no compressed modules; its depmod writes the list of what each needs."""
    for packed in tree.glob(f"{MODULES}/*/kernel/**/*.ko.xz"):
        packed.with_suffix("").write_bytes(lzma.decompress(packed.read_bytes()))
        packed.unlink()
    release = _one(tree / MODULES, "*").name
    run(["chroot", tree, "/usr/bin/busybox", "depmod", "-b", "/", release], timeout_s=TIMEOUT_S)


def _make_initramfs(parts: Components, names: Iterable[str], work: Path) -> None:
    release = parts.modules / parts.release
    order = load_order((release / "modules.dep").read_text(), names)
    content = work / "initramfs"
    (content / "modules").mkdir(parents=True)
    shutil.copy(parts.busybox, content / "busybox")
    for path in order:
        shutil.copy(release / path, content / "modules")
    (content / "modules" / "order").write_text(" ".join(Path(path).name for path in order) + "\n")
    make_cpio(parts.busybox, content, parts.initramfs)
    shutil.rmtree(content)


def load_order(modules_dep: str, names: Iterable[str]) -> list[str]:
    """The paths of modules and of what they need, in an order in which they can be loaded.

    modules_dep: the text of modules.dep (depmod(8)). Raises BuildError for a module that is not in it.
    """
    needs = {path: rest.split() for path, _, rest in (line.partition(":") for line in modules_dep.splitlines())}
    paths = {Path(path).stem.replace("-", "_"): path for path in needs}
    order: list[str] = []
    for name in names:
        path = paths.get(name.replace("-", "_"))
        if path is None:
            raise BuildError(f"the lab's kernel has no module {name!r}", "correct lab.modules in spec/lab.toml")
        # Those that others need come last in each line.
        order += [each for each in (*reversed(needs[path]), path) if each not in order]
    return order


def _one(directory: Path, pattern: str) -> Path:
    found = sorted(directory.glob(pattern))
    if len(found) != 1:
        raise BuildError(
            f"{directory}: {len(found)} files {pattern}, expected one", "check lab.packages in spec/lab.toml"
        )
    return found[0]
