"""The kernel's sources: pinned, fetched once, named when they can't be had."""

from __future__ import annotations

import functools
import hashlib
import http.server
import io
import os
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from builders.kernel import build_kernel
from builders.kernel.source import find_source
from hornet.errors import BuildError, SpecError
from hornet.host.progress import Progress
from hornet.host.workspace import Workspace
from hornet.spec.model import Spec, load_spec
from tests.support.kernel_samples import assert_nothing_left, write_tree

SPEC = load_spec()
QUIET = Progress(io.StringIO())


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path / "home")


@pytest.fixture
def mirror(tmp_path: Path) -> tuple[Path, str]:
    """A mirror directory with a miniature linux-6.1.99.tar.xz, and that file's SHA-256."""
    write_tree(tmp_path / "linux-6.1.99")
    archive = tmp_path / "mirror" / "v6.x" / "linux-6.1.99.tar.xz"
    archive.parent.mkdir(parents=True)
    subprocess.run(["tar", "-C", tmp_path, "-cJf", archive, "linux-6.1.99"], check=True, timeout=60)
    return tmp_path / "mirror", hashlib.sha256(archive.read_bytes()).hexdigest()


def spec_from(source: dict[str, str], **kernel: str) -> Spec:
    data = SPEC.model_dump()
    data["kernel"] |= {"source": "mine", "sources": {"mine": source}, **kernel}
    return Spec.model_validate(data)


def spec_with(url: str, sha256: str) -> Spec:
    return spec_from({"kind": "kernel.org", "version": "6.1.99", "sha256": sha256}, kernel_org_mirror=url)


@pytest.fixture
def http_mirror(mirror: tuple[Path, str]) -> Iterator[str]:
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(mirror[0]))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_a_pinned_archive_comes_from_a_mirror_over_http(
    mirror: tuple[Path, str], http_mirror: str, workspace: Workspace, tmp_path: Path
) -> None:
    spec = spec_with(http_mirror, mirror[1])
    source = find_source(spec, workspace, QUIET, None)
    for name in ("first", "second, without the mirror"):
        directory = tmp_path / name
        directory.mkdir()
        source.unpack(directory, tmp_path / "log")
        assert (directory / "init/Kconfig").exists()
        (mirror[0] / "v6.x/linux-6.1.99.tar.xz").unlink(missing_ok=True)


def test_archive_with_a_wrong_hash_is_rejected_and_deleted(mirror: tuple[Path, str], workspace: Workspace) -> None:
    spec = spec_with(f"file://{mirror[0]}", "0" * 64)
    with pytest.raises(BuildError, match=f"SHA-256 is {mirror[1]}, expected 0000"):
        build_kernel(spec, workspace, QUIET)
    assert_nothing_left(workspace)
    assert list((workspace.cache / "kernel").iterdir()) == []


@pytest.mark.parametrize("url", ["file:///nowhere", "http://127.0.0.1:1"])
def test_an_unreachable_mirror_is_named(url: str, workspace: Workspace) -> None:
    with pytest.raises(BuildError, match=f"{url}/v6.x/linux-6.1.99.tar.xz") as caught:
        build_kernel(spec_with(url, "0" * 64), workspace, QUIET)
    assert "kernel_org_mirror" in caught.value.hint
    assert_nothing_left(workspace)


@pytest.fixture
def apt_repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A private apt that knows one package: linux-source-9.9 with a miniature kernel."""
    write_tree(tmp_path / "linux-source-9.9")
    package = tmp_path / "package"
    (package / "usr/src").mkdir(parents=True)
    (package / "DEBIAN").mkdir()
    (package / "DEBIAN").chmod(0o755)  # dpkg-deb insists on it, whatever the umask
    control = "Package: linux-source-9.9\nVersion: 1:9.9.1-2\nArchitecture: all\nMaintainer: x <x@x>\nDescription: x\n"
    (package / "DEBIAN/control").write_text(control)
    archive = package / "usr/src/linux-source-9.9.tar.xz"
    subprocess.run(["tar", "-C", tmp_path, "-cJf", archive, "linux-source-9.9"], check=True, timeout=60)
    repository = tmp_path / "repository"
    repository.mkdir()
    subprocess.run(["dpkg-deb", "--build", package, repository / "linux.deb"], check=True, timeout=60)
    deb = (repository / "linux.deb").read_bytes()
    where = f"Filename: ./linux.deb\nSize: {len(deb)}\nSHA256: {hashlib.sha256(deb).hexdigest()}\n"
    (repository / "Packages").write_text(control + where)
    (tmp_path / "sources.list").write_text(f"deb [trusted=yes] file:{repository} ./\n")
    for directory in ("lists/partial", "cache/archives/partial"):
        (tmp_path / "apt" / directory).mkdir(parents=True)
    (tmp_path / "apt.conf").write_text(
        f'Dir::Etc::sourcelist "{tmp_path}/sources.list"; Dir::Etc::sourceparts "-";'
        f'Dir::State::lists "{tmp_path}/apt/lists"; Dir::Cache "{tmp_path}/apt/cache"; APT::Sandbox::User "root";'
    )
    monkeypatch.setenv("APT_CONFIG", str(tmp_path / "apt.conf"))
    subprocess.run(["apt-get", "update"], check=True, timeout=60)


@pytest.mark.usefixtures("apt_repository")
def test_a_debian_package_that_is_not_installed_comes_from_apt(workspace: Workspace) -> None:
    spec = spec_from({"kind": "debian", "package": "linux-source-9.9", "suite": "bookworm"})
    assert find_source(spec, workspace, QUIET, None).identity["version"] == "1:9.9.1-2"
    assert build_kernel(spec, workspace, QUIET).version == "6.1.99"


@pytest.mark.usefixtures("apt_repository")
def test_a_newer_package_of_an_updated_apt_is_found(workspace: Workspace, tmp_path: Path) -> None:
    """Also with the cache file of the first answer."""
    spec = spec_from({"kind": "debian", "package": "linux-source-9.9", "suite": "bookworm"})
    assert find_source(spec, workspace, QUIET, None).identity["version"] == "1:9.9.1-2"
    index = tmp_path / "repository/Packages"
    index.write_text(index.read_text().replace("1:9.9.1-2", "1:9.9.10-1"))
    tomorrow_s = time.time() + 86_400  # apt takes a file of the same second for the same
    os.utime(index, (tomorrow_s, tomorrow_s))
    subprocess.run(["apt-get", "update"], check=True, timeout=60)
    assert find_source(spec, workspace, QUIET, None).identity["version"] == "1:9.9.10-1"


@pytest.mark.usefixtures("apt_repository")
def test_unknown_debian_package_is_named(workspace: Workspace, tmp_path: Path) -> None:
    """Neither the host's apt nor the given Debian suite has it: here the mirror does not exist."""
    spec = spec_from({"kind": "debian", "package": "linux-source-9.8", "suite": "bookworm"})
    debian = spec.rootfs.debian.model_copy(update={"mirror": f"file://{tmp_path}/mirror"})
    spec = spec.model_copy(update={"rootfs": spec.rootfs.model_copy(update={"debian": debian})})
    with pytest.raises(BuildError, match=r"linux-source-9\.8"):
        build_kernel(spec, workspace, QUIET)
    assert not list((workspace.cache / "kernel").glob("linux-source-9.8-bookworm"))


def test_source_without_a_pin_is_rejected(tmp_path: Path) -> None:
    overlay = tmp_path / "team.toml"
    overlay.write_text('[kernel.sources.mine]\nkind = "kernel.org"\nversion = "6.6.1"\n')
    with pytest.raises(SpecError, match=r"kernel\.sources\.mine.*sha256"):
        load_spec(overlays=[overlay])


def test_an_unknown_source_lists_the_known_ones(workspace: Workspace) -> None:
    with pytest.raises(SpecError, match="neither a kernel source") as caught:
        build_kernel(SPEC, workspace, QUIET, source="gentoo")
    assert all(name in caught.value.hint for name in SPEC.kernel.sources)


def test_a_local_tree_is_known_by_its_content(workspace: Workspace, tmp_path: Path) -> None:
    tree = write_tree(tmp_path / "tree")

    def identity() -> dict[str, str]:
        return find_source(SPEC, workspace, QUIET, str(tree)).identity

    before = identity()
    (tree / ".git").mkdir()
    (tree / ".git/HEAD").write_text("x")
    assert identity() == before
    (tree / "main.c").write_text("int x;")
    assert identity() != before
