"""An artifact has the same modes whatever the umask of who builds it, who gets their own back."""

from __future__ import annotations

import os
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from hornet.host.artifact_store import Store
from hornet.host.proc import run
from hornet.host.umask import build_umask
from hornet.host.workspace import Workspace


@pytest.fixture(autouse=True)
def closed() -> Iterator[None]:
    """The umask of somebody who shows nothing to anybody."""
    before = os.umask(0o077)
    yield
    os.umask(before)


def umask_now() -> int:
    value = os.umask(0o077)
    os.umask(value)
    return value


def test_an_artifacts_modes_do_not_depend_on_the_umask(tmp_path: Path) -> None:
    def build(work: Path) -> None:
        (work / "directory").mkdir()
        (work / "file").touch()
        subprocess.run(["touch", work / "by a child"], check=True)

    artifact = Store(Workspace(tmp_path)).get_or_build("kind", {}, build)
    modes = {name: (artifact / name).stat().st_mode & 0o777 for name in ("directory", "file", "by a child")}
    assert modes == {"directory": 0o755, "file": 0o644, "by a child": 0o644}
    assert umask_now() == 0o077


DOWNLOADS = (
    "https_proxy",
    "PIP_INDEX_URL",
    "SSL_CERT_FILE",
    "NODE_EXTRA_CA_CERTS",
    "npm_config_registry",
    "APT_CONFIG",
)


def test_a_build_does_not_see_the_users_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What its key does not name must not change an artifact."""
    theirs = {"CFLAGS", "TAR_OPTIONS", "SOURCE_DATE_EPOCH", "KBUILD_BUILD_USER", "PERL5LIB_OF_SOMEBODY"}
    for name in theirs:
        monkeypatch.setenv(name, "1")
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    monkeypatch.setenv("LANGUAGE", "de")
    monkeypatch.setenv("LC_ALL", "de_DE.UTF-8")
    # How downloads reach their registry: README names some of these.
    for name in DOWNLOADS:
        monkeypatch.setenv(name, "theirs")
    seen: list[str] = []

    def build(_work: Path) -> None:
        seen.extend(run(["env"], timeout_s=20).output.splitlines())

    Store(Workspace(tmp_path)).get_or_build("kind", {}, build)
    found = dict(line.split("=", 1) for line in seen if "=" in line)
    assert not theirs & found.keys()
    assert (found["TZ"], found["LC_ALL"], found["LANGUAGE"]) == ("UTC", "C.UTF-8", "")
    assert {found.get(name) for name in DOWNLOADS} == {"theirs"}
    assert run(["printenv", "CFLAGS"], timeout_s=20).output.strip() == "1", "other commands keep it"


def test_umask_is_restored_after_a_failed_build() -> None:
    with pytest.raises(OSError, match="the build failed"), build_umask():
        raise OSError("the build failed")
    assert umask_now() == 0o077


def test_umask_is_restored_after_the_last_parallel_build() -> None:
    begun, end = threading.Event(), threading.Event()

    def other() -> None:
        with build_umask():
            begun.set()
            end.wait(10)

    thread = threading.Thread(target=other)
    with build_umask():
        thread.start()
        assert begun.wait(10)
    assert umask_now() == 0o022, "the other still builds"
    end.set()
    thread.join()
    assert umask_now() == 0o077
