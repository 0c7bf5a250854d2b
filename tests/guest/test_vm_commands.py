"""VMs for hands: `hornetos vm restore` and --keep-vms leave a VM that the printed commands enter and end."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from hornet.host.file_copy import clone_file
from hornet.host.workspace import Workspace
from hornet.installation import SOURCE
from hornet.network import netns
from hornet.snapshot import Bundle
from hornet.vm.leftovers import remove_leftovers
from hornet.vm.state import running_vms

pytestmark = pytest.mark.guest

TIMEOUT_S = 120
REASON = "test test_sample.py::test_fails failed"
FAILS = """
def test_fails(restored_vm):
    assert restored_vm.guest.run("touch /root/was-here", 60).exit_code == 1
"""


def shell(command: str, code: int = 0) -> str:
    """Run a command line as a user would, and return what it printed."""
    ended = subprocess.run(command, shell=True, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)  # noqa: S602
    assert ended.returncode == code, ended.stdout + ended.stderr
    return ended.stdout


def enter_and_end(printed: str, workspace: Workspace, command: str) -> str:
    """Use the printed commands for the one VM; returns what a command in the guest printed."""
    (ssh,) = re.findall(r"enter it: +(.+)", printed)
    (down,) = re.findall(r"end it: +(.+)", printed)
    (name,) = re.findall(r"^(vm\d+) runs in namespace (\S+)", printed, re.MULTILINE)
    remove_leftovers(workspace)
    assert name[0] in running_vms(workspace), "the next start takes it for a leftover"
    said = shell(f"{ssh} -- {shlex.quote(command)}")
    assert shell(down) == f"{name[0]}: ended\n"
    assert name[0] not in running_vms(workspace)
    assert not netns.exists(name[1])
    assert not netns.exists(f"{name[1].removesuffix(name[0])}host")
    return said


def test_restored_vm_stays_until_it_is_ended(bundle: Bundle, workspace: Workspace) -> None:
    hornetos = workspace.command_line
    assert "uid=0" in enter_and_end(shell(f"{hornetos} vm restore {bundle.directory}"), workspace, "id")


@pytest.mark.parametrize("name", ["my home", "a:b,c", "it's $HOME"])
def test_snapshot_in_an_odd_home_is_restored(name: str, bundle: Bundle, workspace: Workspace, tmp_path: Path) -> None:
    """A space, a colon and a comma mean something to shells, mounts and QEMU's options."""
    home = Workspace(tmp_path / name)
    shutil.copytree(workspace.keys, home.directory() / "keys")
    for source in bundle.directory.iterdir():
        clone_file(source, home.directory("snapshots", "odd") / source.name)
    printed = shell(f"{home.command_line} vm restore odd")
    assert "uid=0" in enter_and_end(printed, home, "id")


def test_vms_of_failed_tests_outlive_the_run(bundle: Bundle, workspace: Workspace, tmp_path: Path) -> None:
    (tmp_path / "test_sample.py").write_text(FAILS)
    shutil.copy(SOURCE / "conftest.py", tmp_path)
    words = [sys.executable, "-m", "pytest", "-q", "--keep-vms", f"--rootdir={tmp_path}", f"--run-dir={tmp_path}/run"]
    words += ["-p", "no:cacheprovider", f"--snapshot={bundle.directory}", str(tmp_path)]
    printed = shell(f"cd {tmp_path} && PYTHONPATH={SOURCE} env -u PYTHONUNBUFFERED {shlex.join(words)}", code=1)
    assert "was-here" in enter_and_end(printed, workspace, "ls /root")


def test_a_signal_ends_kept_vms_with_the_run(bundle: Bundle, workspace: Workspace, tmp_path: Path) -> None:
    (tmp_path / "test_sample.py").write_text(
        f"{FAILS}\ndef test_hangs():\n    import time\n    print('THERE', flush=True)\n    time.sleep(60)\n"
    )
    shutil.copy(SOURCE / "conftest.py", tmp_path)
    words = [sys.executable, "-m", "pytest", "-sq", "--keep-vms", f"--rootdir={tmp_path}", f"--run-dir={tmp_path}/run"]
    words += ["-p", "no:cacheprovider", f"--snapshot={bundle.directory}", str(tmp_path)]
    environment = {**os.environ, "PYTHONPATH": str(SOURCE)}
    with subprocess.Popen(words, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert any("THERE" in line for line in process.stdout or ())
        (name,) = [name for name, state in running_vms(workspace).items() if state.kept == REASON]
        process.terminate()
        process.communicate(timeout=TIMEOUT_S)
    assert process.returncode == 143
    assert name not in [name for name, state in running_vms(workspace).items() if state.kept == REASON]
