"""Builds without a network: an unreachable registry is named in seconds, and what is cached needs none."""

from __future__ import annotations

import io
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from builders import downloads
from builders.download import download
from builders.downloads import check_download
from hornet.errors import BuildError
from hornet.host.artifact_store import OFFLINE, Store
from hornet.host.progress import Progress
from hornet.host.workspace import Workspace
from hornet.installation import SOURCE

TIMEOUT_S = 20
ALPINE = ("packages", {"alpine": {"mirror": "https://mirror.invalid/alpine"}})


@pytest.fixture
def closed() -> str:
    """An address at which nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    return f"http://127.0.0.1:{port}/debian"


@pytest.fixture
def open_address() -> Any:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}/debian"


def debian(mirror: str | None) -> dict[str, Any]:
    return {"debian": {"mirror": mirror}}


def test_unreachable_mirror_is_named(closed: str, tmp_path: Path) -> None:
    with pytest.raises(BuildError, match=rf"apt's mirror cannot be reached: {closed}: .*refused"):
        check_download(Workspace(tmp_path), "packages", debian(closed))


def test_reachable_mirror_is_no_problem(open_address: str, tmp_path: Path) -> None:
    check_download(Workspace(tmp_path), "toolbox", debian(open_address))
    check_download(Workspace(tmp_path), "toolbox", debian("file:///srv/mirror"))


def test_unreachable_registry_is_named(closed: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(downloads, "_npm", lambda setting: closed if setting == "registry" else "")
    with pytest.raises(BuildError, match="npm's registry cannot be reached"):
        check_download(Workspace(tmp_path), "npm", {})


def test_unreachable_mirror_of_alpine_is_named(closed: str, tmp_path: Path) -> None:
    with pytest.raises(BuildError, match=rf"Alpine's mirror cannot be reached: {closed}"):
        check_download(Workspace(tmp_path), "packages", {"alpine": {"mirror": closed}})
    check_download(Workspace(tmp_path), "packages", {"alpine": {"mirror": "/srv/mirror/alpine"}})


def test_unreachable_mirror_of_kernel_org_is_named(closed: str, tmp_path: Path) -> None:
    with pytest.raises(BuildError, match=r"linux-6\.1\.tar\.xz cannot be reached: http://127"):
        download(f"{closed}/linux-6.1.tar.xz", "0" * 64, tmp_path / "archive", "hint", Progress(io.StringIO()))


def test_proxy_is_asked_instead(
    closed: str, open_address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(downloads, "_apt_proxies", lambda: {"http": open_address})
    check_download(Workspace(tmp_path), "packages", debian("http://mirror.invalid/debian"))
    monkeypatch.setattr(downloads, "_apt_proxies", lambda: {"http": closed})
    with pytest.raises(BuildError, match=r"through the proxy 127\.0\.0\.1"):
        check_download(Workspace(tmp_path), "packages", debian("http://mirror.invalid/debian"))


@pytest.mark.parametrize(
    ("kind", "inputs"),
    [
        ("npm", {}),
        ("packages", debian(None)),
        ("toolbox", debian(None)),
        ALPINE,
        ("kernel", {"source": {"kernel.org": "6.1"}}),
    ],
)
def test_offline_downloads_nothing(
    kind: str, inputs: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(OFFLINE, "1")
    with pytest.raises(BuildError, match="--offline"):
        Store(Workspace(tmp_path)).get_or_build(kind, inputs, lambda _: pytest.fail("it is built"))


def test_cached_artifacts_and_local_sources_work_offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(Workspace(tmp_path))
    monkeypatch.setattr(downloads, "_npm_registry", list)
    made = store.get_or_build("npm", {"a": 1}, lambda work: (work / "x").touch())
    monkeypatch.setenv(OFFLINE, "1")
    assert store.get_or_build("npm", {"a": 1}, lambda _: pytest.fail("it is built")) == made
    archive = store.workspace.directory("cache", "kernel") / "linux-6.1.tar.xz"
    archive.touch()
    check_download(store.workspace, "kernel", {"source": {"kernel.org": "6.1"}})
    check_download(store.workspace, "kernel", {"source": {"tree": "local"}})
    check_download(store.workspace, "rootfs", {})


@pytest.mark.parametrize("words", [[], ["--offline"]])
def test_build_without_a_network_fails_in_seconds(words: list[str], tmp_path: Path) -> None:
    argv = ["unshare", "--net", sys.executable, "-m", "hornet_cli", *words, "build", "rootfs", "--tier", "micro"]
    environment = {**os.environ, "PYTHONPATH": str(SOURCE), "HORNET_HOME": str(tmp_path)}
    done = subprocess.run(argv, env=environment, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    assert done.returncode == 2
    assert ("--offline" if words else "cannot be reached") in done.stderr, done.stderr
