"""What root leaves in somebody's checkout is theirs; what is not root's, or may lie elsewhere, is not touched."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from hornet.host.checkout_owner import give_to_owner
from hornet.host.workspace import Workspace

OWNER = 12345

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="not judged: only root can give files away")


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout of somebody's in which root has worked."""
    checkout = tmp_path / "suite"
    for directory in (
        "hornet/__pycache__",
        ".pytest_cache",
        ".git",
        ".hornet/reports/1",
        ".hornet/keys",
        ".hornet/run/vms",
    ):
        (checkout / directory).mkdir(parents=True)
        (checkout / directory / "file").touch()
    for path in (checkout, checkout / ".hornet"):
        os.chown(path, OWNER, OWNER)
    return checkout


def owner(path: Path) -> int:
    return path.lstat().st_uid


def test_byte_code_caches_and_reports_are_the_owners(checkout: Path) -> None:
    give_to_owner(Workspace(checkout / ".hornet"), checkout)
    for name in ("hornet", "hornet/__pycache__/file", ".pytest_cache/file", ".hornet/reports/1/file", ".hornet/run"):
        assert owner(checkout / name) == OWNER, name


def test_keys_vms_and_history_stay_roots(checkout: Path) -> None:
    give_to_owner(Workspace(checkout / ".hornet"), checkout)
    for name in (".hornet/keys", ".hornet/keys/file", ".hornet/run/vms", ".hornet/run/vms/file", ".git/file"):
        assert owner(checkout / name) == 0, name


def test_no_link_leads_out_of_the_checkout(checkout: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    (outside / "directory").mkdir(parents=True)
    (outside / "file").touch()
    (checkout / "link").symlink_to(outside / "file")
    (checkout / "directory link").symlink_to(outside / "directory")
    (checkout / "hard link").hardlink_to(outside / "file")
    give_to_owner(Workspace(checkout / ".hornet"), checkout)
    assert owner(checkout / "link") == OWNER, "the link itself"
    assert [owner(path) for path in (outside, outside / "file", outside / "directory")] == [0, 0, 0]


def test_what_is_another_users_stays_theirs(checkout: Path) -> None:
    os.chown(checkout / "hornet", OWNER + 1, OWNER + 1)
    give_to_owner(Workspace(checkout / ".hornet"), checkout)
    assert owner(checkout / "hornet") == OWNER + 1


def test_a_home_elsewhere_is_not_the_checkouts_owners(checkout: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "swarm/reports"
    elsewhere.mkdir(parents=True)
    give_to_owner(Workspace(tmp_path / "swarm"), checkout)
    assert owner(elsewhere) == 0
    assert owner(checkout / ".hornet/keys/file") == 0
