"""What VMs and snapshots hold is for their owner's eyes only, from the moment a file is made, whatever the umask."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from hornet.errors import HostError
from hornet.host.file_copy import clone_file, open_private, write_private
from hornet.host.workspace import Workspace
from hornet.snapshot import publishing
from hornet.vm.state import running_vms
from tests.support import bundle_samples


@pytest.fixture(autouse=True)
def _no_umask() -> Iterator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


@pytest.mark.parametrize("name", ["run", "keys"])
def test_directories_of_a_home_are_private(name: str, tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    assert mode(getattr(workspace, name)) == 0o700
    (tmp_path / name).chmod(0o755)
    assert mode(getattr(workspace, name)) == 0o700, "one made by an older version"


def test_no_directory_of_a_home_is_writable_by_everybody(tmp_path: Path) -> None:
    assert mode(Workspace(tmp_path).snapshots) == 0o755
    assert Workspace(tmp_path).snapshots.is_dir(), "one that is would be refused from then on"


def test_missing_permission_to_list_vms_is_reported() -> None:
    """An empty list would be read as "no VM is running"."""
    with tempfile.TemporaryDirectory() as reachable:
        Path(reachable).chmod(0o755)
        workspace = Workspace(Path(reachable))
        assert running_vms(workspace) == {}
        os.seteuid(65534)
        try:
            with pytest.raises(HostError, match="Permission denied"):
                running_vms(workspace)
        finally:
            os.seteuid(0)


def test_a_copy_is_private(tmp_path: Path) -> None:
    (tmp_path / "source").write_bytes(b"x" * 4096)
    clone_file(tmp_path / "source", tmp_path / "copy")
    assert mode(tmp_path / "copy") == 0o600


def test_a_file_is_private_when_it_is_made(tmp_path: Path) -> None:
    with open_private(tmp_path / "log", "ab"):
        assert mode(tmp_path / "log") == 0o600
    write_private(tmp_path / "state", "x")
    assert mode(tmp_path / "state") == 0o600


def test_a_snapshot_is_private_while_it_is_made_and_afterwards(tmp_path: Path) -> None:
    target = tmp_path / "v1.0"
    with publishing(target, bundle_samples.NAMES) as bundle:
        assert mode(bundle.directory) == 0o700
        bundle_samples.fill(bundle)
        bundle.seal("v1.0", bundle_samples.ORIGIN)
        assert {mode(path) for path in bundle.directory.glob("*.json")} == {0o600}
    assert mode(target) == 0o700
