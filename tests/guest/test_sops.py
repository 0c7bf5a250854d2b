"""The guide's procedures with a real guest when something goes wrong; tests/procedures has them going well."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from hornet.checks.procedures import removal_problems, version_problems
from hornet.host.file_copy import clone_file
from hornet.host.workspace import Workspace
from hornet.installation import SOURCE
from hornet.network.ownership import leftovers
from hornet.procedures import slim
from hornet.procedures.trials.new_version import try_new_version
from hornet.procedures.trials.slimming import try_slim
from hornet.procedures.validate import DISK_AFTER, STEPS
from hornet.snapshot import Bundle, open_bundle
from hornet.spec.model import Spec
from hornet.vm import snapshotting
from hornet_fixtures.procedures import Trials

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


@pytest.fixture
def change(tmp_path: Path) -> Path:
    """A script that changes the guest."""
    script = tmp_path / "change.sh"
    script.write_text("set -e\necho 1.1 >/etc/hornetos-version\n")
    return script


def test_new_version_of_a_failing_script_is_not_published(own_home: Workspace, bundle: Bundle, tmp_path: Path) -> None:
    failing = tmp_path / "failing.sh"
    failing.write_text("echo nearly; exit 3\n")
    refused = start(own_home, "new-version", bundle.directory, "v1.1", "--script", failing)
    assert "exit code 3 in the VM: nothing is published" in finish(refused)
    assert refused.returncode == 1
    assert not list(own_home.snapshots.iterdir())


def test_killed_new_version_leaves_nothing_and_can_be_made_again(
    own_home: Workspace, bundle: Bundle, spec: Spec, change: Path
) -> None:
    # Killed when the new version is complete and sealed but has no name yet.
    killed = start(own_home, "new-version", bundle.directory, "v1.1", "--script", change)
    for line in killed.stdout or ():
        if line.startswith("PASS    [2/9] seal"):
            os.kill(killed.pid, signal.SIGKILL)
            break
    finish(killed)
    assert killed.returncode == -signal.SIGKILL
    assert not (own_home.snapshots / "v1.1").exists()

    made = start(own_home, "new-version", bundle.directory, "v1.1", "--script", change)
    output = finish(made)
    assert made.returncode == 0, output
    assert [line.partition(": ")[0] for line in output.splitlines() if line.startswith("PASS")] == [
        f"PASS    [{number}/{len(STEPS)}] {name}" for number, name in enumerate(STEPS, 1)
    ]
    left = {path.name for path in own_home.snapshots.iterdir()}
    assert left == {"v1.1", ".v1.1.lock"}, "what the killed one left is gone"
    assert killed.pid not in leftovers(spec.network)
    open_bundle(own_home.snapshots / "v1.1", bundle.names).check_full()


def test_new_version_that_lost_its_change_is_not_published(trials: Trials, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its disk is the old one's, with the memory of the VM that was changed: what the golden rule forbids."""

    def copy_the_old_disk(source: Path, target: Path) -> None:
        clone_file(trials.place.subject.rootfs, target)

    monkeypatch.setattr(snapshotting, "clone_file", copy_the_old_disk)
    trial = try_new_version(trials.place)
    assert trial.published is None
    problems = version_problems(trial.facts)
    assert any(problem.startswith(f"not published: {DISK_AFTER}: FAIL; ") for problem in problems), problems


def test_slimmed_snapshot_that_still_has_files_is_named(
    trials: Trials, bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slim, "_remove", lambda vm, title, paths: slim.Saving(title, 0.0))
    facts = try_slim(trials.place, bundle, {"logs": "/etc/hostname"})
    assert removal_problems(facts) == [
        "/etc/hostname: still there after the removals",
        "logs: df shows no saved space, although /etc/hostname had to be removed",
    ]
