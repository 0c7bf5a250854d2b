"""The Alpine builder with the real apk of a real Alpine 3.19 and a local repository that the test itself signs.

musl, BusyBox and e2fsprogs are Alpine's own files. OpenRC, OpenSSH and Node.js are stand-ins: no mirror of Alpine is
needed, and nothing here says that an image of the real packages boots.
"""

from __future__ import annotations

import io
import shutil
import subprocess
from dataclasses import dataclass, replace
from pathlib import Path
from typing import get_args

import pytest

from builders.rootfs import build_rootfs
from builders.rootfs.alpine import DISTRO
from builders.rootfs.npm import fetch_layers
from builders.rootfs.toolbox import Toolbox, build_toolbox
from hornet.errors import BuildError, SpecError
from hornet.formats.ext4.reader import Ext4Reader
from hornet.formats.overlay_tree import ID_IN_USR, USR, image_tree
from hornet.host.artifact_store import Store
from hornet.host.progress import Progress
from hornet.host.workspace import Workspace
from hornet.spec.model import Spec, load_spec
from hornet.spec.tiers import Layout
from tests.support.apk_samples import Key, Package, alpine_base, write_repository

SPEC = load_spec()
QUIET = Progress(io.StringIO())
RC_CONF = b'# The VM environment\n#rc_sys=""\nrc_parallel="NO"\n'


# Alpine's packages are installed by Alpine's own apk: none of Debian's tools.
NO_TOOLBOX = Toolbox(Path("/none"))


def fetch_layer(spec: Spec, tier: str, store: Store) -> Path:
    return DISTRO.fetch_layer(spec, tier, NO_TOOLBOX, store, QUIET)


@dataclass(frozen=True)
class Mirror:
    """A mirror directory, the minirootfs that trusts its key, and a key that nobody trusts."""

    directory: Path
    minirootfs: Path
    packages: list[Package]
    key: Key
    foreign: Key

    def write(self, packages: list[Package], key: Key | None = None, index_key: Key | None = None) -> None:
        target = self.directory / "v3.19" / "main"
        shutil.rmtree(target, ignore_errors=True)
        write_repository(target, packages, self.minirootfs, key or self.key, index_key or self.key)

    def spec(self, **alpine: object) -> Spec:
        data = SPEC.model_dump(mode="json")
        data["rootfs"]["alpine"] |= {
            "mirror": str(self.directory),
            "repositories": ["main"],
            "minirootfs": str(self.minirootfs),
            "packages": {"standard": ["alpine-base", "openssh-server"]},
            **alpine,
        }
        return Spec.model_validate(data)


@pytest.fixture(scope="module")
def base() -> Path:
    try:
        return alpine_base(Store(Workspace.from_env()))
    except subprocess.CalledProcessError as error:
        pytest.skip(f"no Alpine base to try apk with: {error.stderr.decode().strip()[-200:]}")


@pytest.fixture
def mirror(base: Path, tmp_path: Path) -> Mirror:
    minirootfs = tmp_path / "minirootfs"
    shutil.copytree(base, minirootfs, symlinks=True)
    keys = tmp_path / "keys"
    keys.mkdir()
    key = Key.make(keys, "hornet-test")
    shutil.copy(key.public, minirootfs / "etc/apk/keys")
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    made = Mirror(tmp_path / "mirror", minirootfs, packages_of(base), key, Key.make(foreign, "foreign"))
    made.write(made.packages)
    return made


def packages_of(base: Path) -> list[Package]:
    def files(*names: str) -> dict[str, bytes]:
        return {name: (base / name).read_bytes() for name in names}

    layout = {name: (base / name).read_bytes() for name in ("etc/passwd", "etc/group", "etc/shadow", "etc/hosts")}
    return [
        Package("alpine-base", layout, depends=("musl", "busybox", "openrc")),
        Package("musl", files("lib/ld-musl-x86_64.so.1"), {"lib/libc.musl-x86_64.so.1": "ld-musl-x86_64.so.1"}),
        # As Alpine's does it: the applets are linked by BusyBox itself, inside the new tree.
        Package(
            "busybox",
            files("bin/busybox"),
            {"bin/sh": "/bin/busybox"},
            ("musl",),
            "#!/bin/busybox sh\n/bin/busybox mkdir -p /usr/bin /usr/sbin /sbin\nexec /bin/busybox --install -s\n",
        ),
        Package("openrc", {"etc/rc.conf": RC_CONF, "etc/init.d/networking": b"#!/sbin/openrc-run\n"}),
        Package("openssh-server", {"etc/init.d/sshd": b"#!/sbin/openrc-run\n", "var/cache/apk/left-over": b"x"}),
    ]


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path / "home")


def borrow(workspace: Workspace) -> None:
    """What is the same for every build comes from this machine's own store."""
    store = Store(Workspace.from_env())
    toolbox = build_toolbox(SPEC, store, QUIET).tree.parent
    layers = fetch_layers({name: it for name, it in SPEC.rootfs.npm.items() if "standard" in it.tiers}, store, QUIET)
    for layer in (toolbox, *layers.values()):
        # Not shutil.copytree(): a tree of packages has device nodes, and it would read /dev/full to no end.
        subprocess.run(["cp", "-a", layer, workspace.directory("build", layer.parent.name)], check=True, timeout=300)


@pytest.fixture
def image(mirror: Mirror, workspace: Workspace, tmp_path: Path) -> Path:
    """The tree of a whole image."""
    borrow(workspace)
    built = build_rootfs(mirror.spec(), workspace, QUIET, tier="standard", distro="alpine")
    assert built.manifest["distro"] == "alpine 3.19"
    assert built.manifest["packages"]["musl"] == "1.0-r0"
    assert built.manifest["components_mb"]["busybox"] > 0.5
    check = subprocess.run(["e2fsck", "-fn", built.image], capture_output=True, text=True, timeout=60, check=False)
    assert check.returncode == 0, check.stdout
    tree = tmp_path / "image"
    tree.mkdir()
    subprocess.run(["debugfs", "-R", f"rdump / {tree}", built.image], capture_output=True, timeout=60, check=True)
    return tree


@pytest.mark.requirement(
    "alpine-base", "alpine-claude", "alpine-network", "alpine-ssh", "alpine-openrc", "alpine-cleanup"
)
@pytest.mark.requirement("guest-interfaces")
def test_an_image_is_as_the_guide_says(image: Path, mirror: Mirror) -> None:
    interfaces = (image / "etc/network/interfaces").read_text()
    assert "address 10.0.0.2\n    netmask 255.255.255.0\n    gateway 10.0.0.1\n" in interfaces
    assert (image / "etc/resolv.conf").read_text().split() == ["nameserver", "8.8.8.8", "nameserver", "1.1.1.1"]
    assert 'rc_sys="lxc"\n' in (image / "etc/rc.conf").read_text()
    assert (image / "etc/runlevels/default/sshd").readlink() == Path("/etc/init.d/sshd")
    assert (image / "etc/runlevels/boot/networking").readlink() == Path("/etc/init.d/networking")
    assert list((image / "var/cache/apk").iterdir()) == []
    assert (image / "root/.ssh").stat().st_mode & 0o777 == 0o700
    assert (image / "sbin/ip").readlink() == Path("/bin/busybox"), "BusyBox's install script ran in the new tree"
    assert (image / "usr/local/bin/claude").is_symlink()
    assert (image / "etc/apk/repositories").read_text() == f"{mirror.directory}/v3.19/main\n"


def files_of(image: Path) -> dict[str, tuple[int, int, str | None]]:
    """Mode, size and link target of everything that a guest sees in an image, without the layers."""
    with image.open("rb") as stream:
        entries = image_tree(Ext4Reader(stream.fileno())).entries
    return {
        path: (it.mode, it.size_bytes if it.is_file else 0, it.link_target)
        for path, it in entries.items()
        if not path.startswith("/layers")
    }


def test_compressed_layout_shows_the_same_files(mirror: Mirror, workspace: Workspace) -> None:
    borrow(workspace)
    plain, compressed = (
        build_rootfs(spec_of_layout(mirror, layout), workspace, QUIET, tier="standard", distro="alpine")
        for layout in get_args(Layout)
    )
    files, shown = files_of(plain.image), files_of(compressed.image)
    # The program that mounts /usr takes the place of Alpine's /sbin/init, which it executes as /usr/sbin/init.
    assert shown.pop("/usr/sbin/init") == files["/sbin/init"]
    assert shown.pop("/sbin/init") != files.pop("/sbin/init")
    assert shown.pop(f"{USR}{ID_IN_USR}")
    assert shown == files
    assert compressed.manifest["size_mb"] < plain.manifest["size_mb"]


def spec_of_layout(mirror: Mirror, layout: str) -> Spec:
    data = mirror.spec().model_dump(mode="json")
    data["tiers"]["standard"]["layout"] = layout
    return Spec.model_validate(data)


@pytest.mark.requirement("alpine-packages")
def test_packages_are_reinstalled_only_when_the_mirror_changes(mirror: Mirror, workspace: Workspace) -> None:
    store, spec = Store(workspace), mirror.spec()
    first = fetch_layer(spec, "standard", store)
    assert fetch_layer(spec, "standard", store) == first
    mirror.write([*mirror.packages, Package("new")])
    assert fetch_layer(spec, "standard", store) != first


def test_tampered_package_is_rejected(mirror: Mirror, workspace: Workspace) -> None:
    (package,) = mirror.directory.rglob("openssh-server-*.apk")
    content = bytearray(package.read_bytes())
    content[-30] ^= 1
    package.write_bytes(content)
    with pytest.raises(BuildError, match=r"openssh-server-1\.0-r0: "):
        fetch_layer(mirror.spec(), "standard", Store(workspace))
    assert not list((workspace.build / "packages").glob("*/inputs.json"))


def test_index_with_an_untrusted_signature_is_rejected(mirror: Mirror, workspace: Workspace) -> None:
    mirror.write(mirror.packages, index_key=mirror.foreign)
    with pytest.raises(BuildError, match="UNTRUSTED signature"):
        fetch_layer(mirror.spec(), "standard", Store(workspace))


def test_package_with_an_untrusted_signature_is_rejected(mirror: Mirror, workspace: Workspace) -> None:
    swapped = next(package for package in mirror.packages if package.name == "openssh-server")
    (path,) = mirror.directory.rglob("openssh-server-*.apk")
    # The signed index vouches for a package by its hash: another content needs a signature of its own.
    path.write_bytes(replace(swapped, files={"etc/init.d/sshd": b"#!/bin/evil\n"}).content(mirror.foreign))
    with pytest.raises(BuildError, match="openssh-server"):
        fetch_layer(mirror.spec(), "standard", Store(workspace))


def test_a_package_that_the_mirror_lacks_is_named(mirror: Mirror, workspace: Workspace) -> None:
    with pytest.raises(BuildError, match="nodejs"):
        fetch_layer(mirror.spec(packages={"standard": ["nodejs"]}), "standard", Store(workspace))


def test_an_openrc_without_the_guides_line_is_named(mirror: Mirror, workspace: Workspace) -> None:
    mirror.write(
        [
            replace(package, files={**package.files, "etc/rc.conf": b"none\n"}) if package.name == "openrc" else package
            for package in mirror.packages
        ]
    )
    borrow(workspace)
    with pytest.raises(BuildError, match='no line #rc_sys=""'):
        build_rootfs(mirror.spec(), workspace, QUIET, tier="standard", distro="alpine")


def test_service_without_a_package_is_named(mirror: Mirror, workspace: Workspace) -> None:
    borrow(workspace)
    with pytest.raises(BuildError, match="no service 'chronyd'"):
        build_rootfs(mirror.spec(services={"boot": ["chronyd"]}), workspace, QUIET, tier="standard", distro="alpine")


def test_invalid_mirror_is_named(mirror: Mirror, workspace: Workspace, tmp_path: Path) -> None:
    with pytest.raises(BuildError, match=r"APKINDEX\.tar\.gz: no such file"):
        fetch_layer(mirror.spec(mirror=str(tmp_path / "nowhere")), "standard", Store(workspace))
    with pytest.raises(BuildError) as caught:
        fetch_layer(mirror.spec(mirror="http://127.0.0.1:1"), "standard", Store(workspace))
    assert "rootfs.alpine.mirror" in caught.value.hint


def test_a_tier_without_a_list_is_named(mirror: Mirror, workspace: Workspace) -> None:
    with pytest.raises(SpecError, match="no list for tier 'micro'"):
        fetch_layer(mirror.spec(), "micro", Store(workspace))


def test_a_minirootfs_is_unpacked_and_its_pin_decides(mirror: Mirror, workspace: Workspace, tmp_path: Path) -> None:
    archive = tmp_path / "minirootfs.tar.gz"
    subprocess.run(["tar", "-C", mirror.minirootfs, "-czf", archive, "."], check=True, timeout=60)
    digest = subprocess.run(["sha512sum", archive], check=True, capture_output=True, text=True).stdout.split()[0]
    pinned = mirror.spec(minirootfs=archive.as_uri(), minirootfs_sha512=digest)
    assert (fetch_layer(pinned, "standard", Store(workspace)) / "tree/bin/busybox").exists()
    for wrong in ("0" * 128, None):
        spec = mirror.spec(minirootfs=archive.as_uri(), minirootfs_sha512=wrong)
        with pytest.raises((BuildError, SpecError), match=r"SHA-512 is|minirootfs_sha512 is missing"):
            fetch_layer(spec, "standard", Store(Workspace(tmp_path / "other")))


def test_directory_that_is_not_a_minirootfs_is_named(mirror: Mirror, workspace: Workspace, tmp_path: Path) -> None:
    with pytest.raises(BuildError, match="no lib/ld-musl"):
        fetch_layer(mirror.spec(minirootfs=str(tmp_path)), "standard", Store(workspace))
