"""An image that this suite did not build is judged like one of its own; one that does not come up ends in time.

The foreign image is the built one, changed to what others do: it says nothing on its console, ignores the key on the
kernel's command line, and lets in a key of its own.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hornet.errors import GuestError, VMError
from hornet.host.file_copy import clone_file
from hornet.host.proc import run
from hornet.host.workspace import Workspace
from hornet.installation import SOURCE
from hornet.results.outcomes import OUTCOMES_FILE, Result, read_outcomes
from hornet.spec.lane import Lane
from hornet.vm.fleet import Fleet
from hornet.vm.guest import SshKey, read_ssh_key, ssh_key
from hornet_fixtures.under_test import Image

pytestmark = pytest.mark.guest

LIMIT_S = 12
MUTE = r"waiting for SSH \(port 22\)(.|\n)*NoSuchOption(.|\n)*by itself"
SSHD_CONFIG = """
HostKey /run/hornetos/ssh_host_ed25519_key
AuthorizedKeysFile /etc/ssh/authorized_keys
Subsystem sftp internal-sftp
"""


def changed_image(image: Path, target: Path, files: dict[str, str]) -> Path:
    """A copy of an image with other files, or other content in them; all belong to root."""
    clone_file(image, target)
    commands = []
    for number, (name, text) in enumerate(files.items()):
        source = target.with_name(f"{target.name}.{number}")
        source.write_text(text)
        source.chmod(0o755)
        commands += [f"rm {name}", f"write {source} {name}"]
    run(["debugfs", "-w", "-f", "-", target], timeout_s=60, input_text="\n".join(commands) + "\n")
    return target


@pytest.fixture(scope="module")
def foreign_key(tmp_path_factory: pytest.TempPathFactory) -> SshKey:
    """The key of the team that made the image."""
    return ssh_key(Workspace(tmp_path_factory.mktemp("team")))


@pytest.fixture(scope="module")
def foreign(image: Image, foreign_key: SshKey, tmp_path_factory: pytest.TempPathFactory) -> Path:
    files = {
        "/etc/hornetos/announce": "#!/bin/sh\n",
        "/etc/ssh/sshd_config": SSHD_CONFIG,
        "/etc/ssh/authorized_keys": f"ssh-ed25519 {foreign_key.public_blob}\n",
    }
    return changed_image(image.path, tmp_path_factory.mktemp("foreign") / "team.ext4", files)


@pytest.fixture
def hasty(new_fleet: Callable[..., Fleet], foreign_key: SshKey, tmp_path: Path) -> Iterator[Fleet]:
    """An impatient fleet: a wait for a guest ends by its own limit, long before pytest's."""
    home = Workspace(tmp_path / "home")
    with new_fleet(workspace=home, key=foreign_key, boot_timeout_s=LIMIT_S) as fleet:
        yield fleet


def test_foreign_image_is_judged_by_the_required_tier(
    foreign: Path, foreign_key: SshKey, kernel: Path, lane: Lane, tmp_path: Path
) -> None:
    # Booted, asked by SSH, snapshotted: what all other tests stand on.
    tests = ["tests/conformance/test_sizes.py", "tests/conformance/test_snapshot.py::test_all_three_files_exist"]
    words = [
        *(sys.executable, "-m", "pytest", "-q", *tests, f"--image={foreign}", f"--kernel={kernel}"),
        *(f"--ssh-key={foreign_key.private_path}", "--require=micro", f"--lane={lane}", f"--run-dir={tmp_path}/run"),
    ]
    environment = {**os.environ, "HORNET_HOME": str(tmp_path / "home")}
    done = subprocess.run(words, cwd=SOURCE, env=environment, capture_output=True, text=True, timeout=300, check=False)
    cases = {case.name: case for case in read_outcomes(tmp_path / "run" / OUTCOMES_FILE)[0]}
    failed = [name for name, case in cases.items() if case.result is not Result.PASSED]
    assert failed == ["test_image_fits_its_tier"], done.stdout[-3000:]
    assert "HornetOS Micro" in cases["test_image_fits_its_tier"].reason
    assert cases["test_all_three_files_exist"].result is Result.PASSED


def test_key_that_the_image_does_not_accept_is_named(
    foreign: Path, kernel: Path, new_fleet: Callable[..., Fleet], tmp_path: Path
) -> None:
    other = ssh_key(Workspace(tmp_path / "other"))
    with new_fleet(workspace=Workspace(tmp_path / "home"), key=other) as fleet:
        vm = fleet.boot(kernel, foreign, ready_signal=False)
        with pytest.raises(GuestError, match=r"does not accept the key .*other(.|\n)*--ssh-key"):
            vm.guest.wait_ready(LIMIT_S)


def test_image_without_sshd_fails_in_time_with_its_console(
    foreign: Path, kernel: Path, hasty: Fleet, tmp_path: Path
) -> None:
    mute = changed_image(foreign, tmp_path / "mute.ext4", {"/etc/ssh/sshd_config": "NoSuchOption yes\n"})
    with pytest.raises(VMError, match=rf"timed out after {LIMIT_S} s {MUTE}"):
        hasty.boot(kernel, mute, ready_signal=False)
    assert not hasty.vms


def test_image_that_never_boots_fails_in_time(kernel: Path, hasty: Fleet, tmp_path: Path) -> None:
    empty = tmp_path / "empty.ext4"
    empty.touch()
    os.truncate(empty, 4 << 20)
    with pytest.raises(VMError, match=r"Kernel panic.*noticed while waiting for port 22"):
        hasty.boot(kernel, empty, ready_signal=False)
    assert not hasty.vms


def test_invalid_key_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(GuestError, match="no such file"):
        read_ssh_key(tmp_path / "missing")
    (tmp_path / "text").write_text("no key\n")
    with pytest.raises(GuestError, match="not a private SSH key"):
        read_ssh_key(tmp_path / "text")
