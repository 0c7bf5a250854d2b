"""`hornetos firecracker install`: only a program of that version and that hash is installed."""

from __future__ import annotations

import functools
import hashlib
import http.server
import io
import tarfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from builders.firecracker import install_firecracker, installed_firecrackers
from hornet.errors import BuildError
from hornet.host.progress import Progress
from hornet.host.workspace import Workspace
from hornet.spec.model import Spec

VERSION = "1.16.1"
NAME = f"firecracker-v{VERSION}-x86_64.tgz"


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path / "home")


@pytest.fixture
def mirror(tmp_path: Path) -> Path:
    directory = tmp_path / "mirror"
    directory.mkdir()
    return directory


def make_archive(directory: Path, *, says: str = VERSION, members: dict[str, str] | None = None) -> Path:
    """An archive as on the release page, with the file that holds its hash."""
    script = f"#!/bin/sh\necho 'Firecracker v{says}'\n"
    prefix = f"release-v{VERSION}-x86_64"
    programs = {f"{prefix}/{name}-v{VERSION}-x86_64": script for name in ("firecracker", "jailer")}
    extras = {f"{prefix}/firecracker-v{VERSION}-x86_64.debug": "no program", f"{prefix}/../../outside": "no program"}
    path = directory / NAME
    with tarfile.open(path, "w:gz") as tar:
        for name, text in (programs | extras if members is None else members).items():
            info = tarfile.TarInfo(name)
            info.size = len(text)
            tar.addfile(info, io.BytesIO(text.encode()))
    path.with_name(f"{NAME}.sha256.txt").write_text(f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {NAME}\n")
    return path


def install(spec: Spec, workspace: Workspace, **given: Any) -> Path:
    return install_firecracker(spec.firecracker.release, workspace, Progress(), version=VERSION, **given)


@pytest.fixture
def served(mirror: Path) -> Iterator[str]:
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(mirror))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/{NAME}"
        server.shutdown()
        thread.join()


def test_release_is_installed_from_a_file(spec: Spec, workspace: Workspace, mirror: Path) -> None:
    program = install(spec, workspace, source=str(make_archive(mirror)))
    assert program == workspace.root / "firecracker" / VERSION / "firecracker"
    assert {path.name: path.stat().st_mode & 0o777 for path in program.parent.iterdir()} == {
        "firecracker": 0o755,
        "jailer": 0o755,
    }
    assert installed_firecrackers(workspace) == [program]
    assert not list(workspace.run.iterdir())


def test_release_is_installed_from_a_server(spec: Spec, workspace: Workspace, mirror: Path, served: str) -> None:
    make_archive(mirror)
    release = spec.firecracker.release.model_copy(update={"url": served.replace(VERSION, "{version}")})
    first = install_firecracker(release, workspace, Progress(), version=VERSION)
    (mirror / NAME).unlink()
    assert install_firecracker(release, workspace, Progress(), version=VERSION) == first, "it stays as it is"


BAD: dict[str, tuple[dict[str, Any], str]] = {
    "another version": ({"says": "1.13.2"}, r"says 'Firecracker v1\.13\.2"),
    "no program": ({"members": {"readme": "x"}}, r"holds no firecracker-v1\.16\.1"),
}


@pytest.mark.parametrize("name", BAD)
def test_archive_of_something_else_is_rejected(name: str, spec: Spec, workspace: Workspace, mirror: Path) -> None:
    arguments, problem = BAD[name]
    with pytest.raises(BuildError, match=problem):
        install(spec, workspace, source=str(make_archive(mirror, **arguments)))
    assert installed_firecrackers(workspace) == []


def test_wrong_hash_is_rejected(spec: Spec, workspace: Workspace, mirror: Path, served: str) -> None:
    archive = make_archive(mirror)
    for source in (str(archive), served):
        with pytest.raises(BuildError, match=r"SHA-256 is .*, expected 0000"):
            install(spec, workspace, source=source, sha256="0" * 64)
    archive.write_bytes(archive.read_bytes()[:100])
    for source in (str(archive), served):
        with pytest.raises(BuildError, match="SHA-256 is"):
            install(spec, workspace, source=source)
    with pytest.raises(BuildError, match="can't be unpacked"):
        install(spec, workspace, source=str(archive), sha256=hashlib.sha256(archive.read_bytes()).hexdigest())
    assert installed_firecrackers(workspace) == []


def test_missing_archive_or_hash_is_an_error(
    spec: Spec, workspace: Workspace, mirror: Path, served: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for source in (served, str(mirror / "none.tgz")):
        with pytest.raises(BuildError, match=r"not found|no such file|No such file|File not found"):
            install(spec, workspace, source=source)
    archive = make_archive(mirror)
    archive.with_name(f"{NAME}.sha256.txt").write_text("<html>")
    with pytest.raises(BuildError, match="expected a SHA-256"):
        install(spec, workspace, source=str(archive))
    monkeypatch.setenv("HORNET_OFFLINE", "1")
    with pytest.raises(BuildError, match="--offline"):
        install(spec, workspace, source=served)
