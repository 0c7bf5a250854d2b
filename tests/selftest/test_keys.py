"""The home's key pair is whole or not there, whatever happened while it was made."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from hornet.host.workspace import Workspace
from hornet.installation import SOURCE
from hornet.vm.guest import read_ssh_key, ssh_key

MAKE = "import sys; from pathlib import Path; from hornet.vm.guest import ssh_key\n"
MAKE += "from hornet.host.workspace import Workspace\n"
MAKE += "print(ssh_key(Workspace(Path(sys.argv[1]))).public_blob)"


def test_a_key_is_made_once(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    made = ssh_key(workspace)
    assert ssh_key(workspace) == made
    assert made.private_path.stat().st_mode & 0o777 == 0o600
    assert made.private_path.with_suffix(".pub").read_text().split()[1] == made.public_blob
    assert not list(workspace.keys.glob("*.tmp-*"))


@pytest.mark.parametrize("lost", ["private", "public", "both"])
def test_a_key_that_a_power_cut_has_emptied_is_replaced(lost: str, tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    made = ssh_key(workspace)
    if lost != "public":
        os.truncate(made.private_path, 0)
    if lost != "private":
        os.truncate(made.private_path.with_suffix(".pub"), 0)
    now = ssh_key(workspace)
    assert read_ssh_key(now.private_path) == now
    assert (now == made) == (lost == "public"), "a private key that is whole is kept: guests know it"


def test_processes_that_make_it_at_once_have_the_same(tmp_path: Path) -> None:
    """Even if the lock file is deleted."""
    environment = {**os.environ, "PYTHONPATH": str(SOURCE)}
    argv = [sys.executable, "-c", MAKE, str(tmp_path)]
    makers = [subprocess.Popen(argv, env=environment, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    while any(maker.poll() is None for maker in makers):
        (tmp_path / "keys/id_ed25519.lock").unlink(missing_ok=True)
    found = {maker.communicate(timeout=120)[0] for maker in makers}
    assert len(found) == 1, found
