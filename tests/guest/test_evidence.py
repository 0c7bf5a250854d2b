"""A VM that fails in a test leaves its evidence where the message says, and the guest's kernel log if it answers."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from hornet.installation import SOURCE
from hornet.snapshot import Bundle

pytestmark = pytest.mark.guest

RUN_TIMEOUT_S = 240
TESTS = """
import os, signal
import pytest

@pytest.fixture
def vm(fleet, bundle):
    made = fleet.restore(bundle)
    yield made
    fleet.remove(made)

def test_wrong_answer(vm):
    vm.guest.run("echo said by the guest >/dev/console", 60)
    assert vm.guest.run("true", 60).exit_code == 1

def test_killed_vmm(vm):
    os.kill(vm.vmm.pid, signal.SIGKILL)
    vm.guest.run("sleep 60", 60)

def test_panic(vm):
    vm.guest.run("mount -o remount,errors=panic /; echo 1 >/sys/fs/ext4/vda/trigger_fs_error; sleep 60", 60)

def test_no_sshd(vm):
    vm.guest.run("rm /usr/sbin/sshd; (sleep 0.5; kill -9 $(pidof sshd)) >/dev/null 2>&1 &", 60)
    vm.guest.close()
    vm.guest.run("sleep 3", 60)
    vm.guest.close()
    vm.guest.wait_ready(3)

def test_passes(vm):
    vm.guest.run("true", 60)
"""


@pytest.fixture(scope="module")
def failed_run(bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """What pytest printed about tests that fail in each of these ways, and its run directory."""
    directory = tmp_path_factory.mktemp("failed")
    (directory / "test_sample.py").write_text(TESTS)
    shutil.copy(SOURCE / "conftest.py", directory)
    argv = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--rootdir={directory}"]
    argv += [f"--snapshot={bundle.directory}", f"--run-dir={directory}/run", str(directory)]
    environment = {**os.environ, "PYTHONPATH": str(SOURCE)}
    ended = subprocess.run(
        argv, cwd=directory, env=environment, capture_output=True, text=True, timeout=RUN_TIMEOUT_S, check=False
    )
    assert "1 passed" in ended.stdout, ended.stdout + ended.stderr
    return ended.stdout, directory / "run"


def evidence_of(test: str, run: tuple[str, Path]) -> dict[str, str]:
    """The files that the report of a test names, by name."""
    (named,) = set(re.findall(rf"console and logs: (/\S+/\d+-{test}-vm\d+)$", run[0], re.MULTILINE))
    assert Path(named).parent == run[1] / "evidence"
    files = {path.name: path.read_text(errors="replace") for path in Path(named).iterdir()}
    assert set(files) == {"console.log", "vmm.log", "vm.json", "api.jsonl", "phases.json", "dmesg.txt"}
    return files


def test_running_guest_leaves_its_kernel_log(failed_run: tuple[str, Path]) -> None:
    files = evidence_of("test_wrong_answer", failed_run)
    assert "said by the guest" in files["console.log"]
    assert "Linux version" in files["dmesg.txt"]
    requests = [json.loads(line) for line in files["api.jsonl"].splitlines()]
    assert "cont" in [each["request"]["execute"] for each in requests]
    assert all("answer" in each for each in requests)
    assert json.loads(files["phases.json"])["load_ms"] > 0


@pytest.mark.parametrize(
    ("test", "file", "text"),
    [
        ("test_killed_vmm", "dmesg.txt", "no kernel log: the VM does not run"),
        ("test_panic", "console.log", "Kernel panic"),
        ("test_no_sshd", "dmesg.txt", "no kernel log: guest 10.0.0.2"),
    ],
)
def test_failed_vm_leaves_its_evidence(test: str, file: str, text: str, failed_run: tuple[str, Path]) -> None:
    assert text in evidence_of(test, failed_run)[file]


def test_passing_test_leaves_nothing(failed_run: tuple[str, Path]) -> None:
    assert len(list((failed_run[1] / "evidence").iterdir())) == 4
