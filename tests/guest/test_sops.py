"""The guide's procedures with a real guest: a new version, validated and published; killed half way, nothing."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from hornet.errors import SnapshotError
from hornet.host.file_copy import clone_file
from hornet.host.workspace import Workspace
from hornet.installation import SOURCE
from hornet.network.ownership import leftovers
from hornet.procedures.validate import STEPS
from hornet.snapshot import Bundle, open_bundle
from hornet.spec.model import Spec
from hornet.vm.fleet import Fleet

pytestmark = pytest.mark.guest

TIMEOUT_S = 400


@pytest.fixture
def own_home(workspace: Workspace, tmp_path: Path) -> Workspace:
    """A home with the key that the guest accepts, and nothing else."""
    own = Workspace(tmp_path / "home")
    shutil.copytree(workspace.keys, own.root / "keys")
    return own


def start(workspace: Workspace, *arguments: object) -> subprocess.Popen[str]:
    environment = {**os.environ, "HORNET_HOME": str(workspace.root), "PYTHONPATH": str(SOURCE)}
    argv = [sys.executable, "-u", "-m", "hornet_cli", *map(str, arguments)]
    return subprocess.Popen(argv, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def finish(process: subprocess.Popen[str]) -> str:
    output, _ = process.communicate(timeout=TIMEOUT_S)
    return output


@pytest.mark.requirement("sop-new-version", "change-inside-vm", "correct-workflow", "sop-rollback")
@pytest.mark.requirement("sop-validate-ssh", "sop-validate-tools")
def test_new_version_is_changed_validated_and_published(
    own_home: Workspace, bundle: Bundle, fleet: Fleet, spec: Spec, tmp_path: Path
) -> None:
    script = tmp_path / "change.sh"
    script.write_text("set -e\necho 1.1 >/etc/hornetos-version\nrm /opt/hornetos/healthcheck.sh\n")

    failing = tmp_path / "failing.sh"
    failing.write_text("echo nearly; exit 3\n")
    refused = start(own_home, "new-version", bundle.directory, "v1.1", "--script", failing)
    assert "exit code 3 in the VM: nothing is published" in finish(refused)
    assert refused.returncode == 1

    # Killed when the new version is complete and sealed but has no name yet.
    killed = start(own_home, "new-version", bundle.directory, "v1.1", "--script", script)
    for line in killed.stdout or ():
        if line.startswith("PASS    [2/9] seal"):
            os.kill(killed.pid, signal.SIGKILL)
            break
    finish(killed)
    assert killed.returncode == -signal.SIGKILL
    assert not (own_home.snapshots / "v1.1").exists()

    made = start(own_home, "new-version", bundle.directory, "v1.1", "--script", script)
    output = finish(made)
    assert made.returncode == 0, output
    assert [line.partition(": ")[0] for line in output.splitlines() if line.startswith("PASS")] == [
        f"PASS    [{number}/{len(STEPS)}] {name}" for number, name in enumerate(STEPS, 1)
    ]
    left = {path.name for path in own_home.snapshots.iterdir()}
    assert left == {"v1.1", ".v1.1.lock"}, "what the killed one left is gone"
    assert killed.pid not in leftovers(spec.network)

    child = open_bundle(own_home.snapshots / "v1.1", bundle.names)
    assert child.check_full().origin.parent == bundle.manifest().self_sha256
    bundle.check_full()
    vm = fleet.restore(child)
    seen = vm.guest.check_output(
        "cat /etc/hornetos-version && ! test -e /opt/hornetos/healthcheck.sh && echo removed", 60
    )
    fleet.remove(vm)
    assert seen.split() == ["1.1", "removed"]

    switched = start(own_home, "rollback", "v1.1")
    assert "production: v1.1 (before: none)" in finish(switched)
    assert switched.returncode == 0


@pytest.mark.requirement("files-three")
def test_three_files_without_a_manifest_are_adopted_and_restored(
    own_home: Workspace, bundle: Bundle, fleet: Fleet, tmp_path: Path
) -> None:
    directory = tmp_path / "elsewhere"
    directory.mkdir()
    for path in bundle.files:
        clone_file(path, directory / path.name)
    adopted = Bundle(directory, bundle.names)
    with pytest.raises(SnapshotError, match="never sealed"):
        fleet.restore(adopted)
    origin = bundle.manifest().origin
    frozen = ["--frozen"] if origin.frozen else []
    sealing = start(own_home, "adopt", directory, "--lane", fleet.lane, "--tier", origin.tier, *frozen)
    output = finish(sealing)
    assert sealing.returncode == 0, output
    vm = fleet.restore(adopted)
    vm.guest.wait_ready(60)
    fleet.remove(vm)
    assert adopted.manifest().files == bundle.manifest().files
    shutil.rmtree(directory)
