"""The lab itself: what runs in it, what comes back, and that nothing stays. Each start takes 10 s and more."""

from __future__ import annotations

import os
import pty
import select
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Sequence
from pathlib import Path

import psutil
import pytest

from hornet.errors import HornetError, HostError
from hornet.host.owned import MARK, is_owned
from hornet.host.progress import Progress
from hornet.host.workspace import Workspace
from hornet.installation import SOURCE
from hornet.spec.model import Spec
from lab.nudge import INTERVAL_S
from lab.session import QEMU_MIB, LabCrashedError, run_in_lab

pytestmark = [pytest.mark.guest, pytest.mark.slow]

MEMORY_MIB = 2048
LIMIT_S = 300
END_TIMEOUT_S = 30


@pytest.fixture(autouse=True)
def _memory_is_available() -> None:
    if psutil.virtual_memory().available >> 20 < MEMORY_MIB + QEMU_MIB:
        pytest.skip("not judged: too little memory for the lab")


@pytest.fixture
def small(spec: Spec) -> Spec:
    return spec.model_copy(update={"lab": spec.lab.model_copy(update={"memory_mib": MEMORY_MIB})})


def left_behind(workspace: Workspace) -> list[str]:
    """Work directories without an owner, mounts, and processes of this one; another lab may run beside it."""
    programs = [process.name() for process in psutil.Process().children(recursive=True)]
    mounts = [line for line in Path("/proc/self/mountinfo").read_text().splitlines() if "/build/lab/" in line]
    directories = [str(path) for path in workspace.run.glob(f"lab{MARK}*") if not is_owned(path)]
    return [*directories, *mounts, *programs]


SCRIPT = """
test -c /dev/kvm && echo kvm
echo problem >&2
echo changed >"$1/file" && cat "$1/file"
mkdir -p "$HORNET_HOME/reports/$2" && echo '{}' >"$HORNET_HOME/reports/$2/run.json"
python3 -c 'from hornet.host.emulation import cpu_is_emulated; print(cpu_is_emulated())'
pwd
exit 3
"""


def test_command_runs_there_and_only_its_run_comes_back(
    small: Spec,
    workspace: Workspace,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(SOURCE))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("mine\n")
    name = f"lab-{os.getpid()}"
    ended = run_in_lab(small, workspace, ["sh", "-c", SCRIPT, "sh", str(tmp_path), name], Progress())
    printed = capfd.readouterr()
    try:
        assert printed.out.splitlines() == ["kvm", "changed", "True", str(tmp_path)]
        assert printed.err.splitlines()[-1] == "problem"
        assert ended.exit_code == 3
        assert ended.runs == [workspace.reports / name]
        assert (workspace.reports / name / "run.json").read_text() == "{}\n"
        assert (tmp_path / "file").read_text() == "mine\n"
        assert not left_behind(workspace)
    finally:
        for path in ended.runs:
            (path / "run.json").unlink()
            path.rmdir()


def test_files_on_mounts_of_their_own_are_seen(workspace: Workspace, tmp_path: Path) -> None:
    """/home, and /tmp in memory as on Debian 13. One that the emulated host knew as a mount would be out of reach."""
    with_mount = 'mount -t tmpfs tmpfs "$0" && echo seen >"$0/file" && exec "$@"'
    words = ["unshare", "-m", "--propagation", "private", "sh", "-c", with_mount, str(tmp_path)]
    there = [sys.executable, "-m", "hornet_cli", "lab", "run", "--", "sh", "-c", 'echo more >>"$0"; cat "$0"']
    environment = {**os.environ, "PYTHONPATH": str(SOURCE), "HORNET_HOME": str(workspace.root)}
    ended = subprocess.run([*words, *there, str(tmp_path / "file")], env=environment, capture_output=True, text=True)
    assert ended.stdout.split() == ["seen", "more"], ended.stderr


def test_shell_runs_on_the_terminal(workspace: Workspace) -> None:
    environment = {**os.environ, "PYTHONPATH": str(SOURCE), "HORNET_HOME": str(workspace.root), "SHELL": "/bin/sh"}
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (33, 77))
    words = [sys.executable, "-m", "hornet_cli", "lab", "shell"]
    with subprocess.Popen(words, env=environment, stdin=theirs, stdout=theirs, stderr=theirs) as process:
        os.close(theirs)
        shown = read_until(ours, b"#")
        os.write(ours, b"stty size; test -c /dev/kvm && exit 5\n")
        shown += read_until(ours, None)
    os.close(ours)
    assert b"33 77" in shown
    assert process.returncode == 5
    assert not left_behind(workspace)


def read_until(terminal: int, wanted: bytes | None) -> bytes:
    """What a terminal shows, until it is `wanted` in the end; None: until its program has ended."""
    shown, deadline_s = b"", time.monotonic() + LIMIT_S
    while time.monotonic() < deadline_s:
        if not select.select([terminal], [], [], 1)[0]:
            continue
        try:
            shown += os.read(terminal, 4096)
        except OSError:  # Linux: the other side is closed
            return shown
        if wanted and shown.rstrip().endswith(wanted):
            return shown
    raise HornetError(f"the terminal shows {shown[-500:]!r}, expected {wanted!r}")


def test_time_limit_ends_the_command(small: Spec, workspace: Workspace) -> None:
    ended = run_in_lab(small, workspace, ["sleep", "1000"], Progress(), time_limit_s=1)
    assert ended.exit_code == 128 + signal.SIGTERM
    assert not left_behind(workspace)


INTERRUPTS = """
import sys, time
def interrupts():
    return sum(int(line.split()[1]) for line in open("/proc/interrupts") if "virtio" in line)
first = interrupts()
time.sleep(float(sys.argv[1]))
print(interrupts() - first)
"""


def test_an_idle_emulated_host_is_interrupted(
    small: Spec, workspace: Workspace, capfd: pytest.CaptureFixture[str]
) -> None:
    expected = 8
    command = [sys.executable, "-c", INTERRUPTS, str(2 * expected * INTERVAL_S)]
    assert run_in_lab(small, workspace, command, Progress()).exit_code == 0
    assert int(capfd.readouterr().out) >= expected


CRASH = 'test -e "$1" || echo c >/proc/sysrq-trigger; sleep 1; exit 7'


def test_command_runs_once_more_if_the_emulated_host_crashes(
    small: Spec, workspace: Workspace, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    mark = tmp_path / "mark"

    class Marking(Progress):
        def say(self, text: str) -> None:
            super().say(text)
            if "once more" in text:
                mark.touch()  # the second start finds it

    ended = run_in_lab(small, workspace, ["sh", "-c", CRASH, "sh", str(mark)], Marking())
    assert ended.exit_code == 7
    assert "crashed: Kernel panic - not syncing: sysrq triggered crash" in capfd.readouterr().err
    mark.unlink()
    with pytest.raises(LabCrashedError, match="sysrq triggered crash"):
        run_in_lab(small, workspace, ["sh", "-c", CRASH, "sh", str(mark)], Progress())
    assert not left_behind(workspace)


BROKEN: dict[str, tuple[dict[str, object], str]] = {
    "no SVM": ({"cpu": "qemu64,-svm"}, r"/dev/kvm|cannot load"),
    "unknown processor": ({"cpu": "no-such-cpu"}, "unable to find CPU model"),
    "too slow": ({"ready_timeout_s": 0.5}, r"not ready within 0\.5 s"),
    "too little memory": ({"memory_mib": 1 << 20}, "MiB of memory"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_lab_is_an_error_that_names_the_cause(name: str, small: Spec, workspace: Workspace) -> None:
    values, problem = BROKEN[name]
    broken = small.model_copy(update={"lab": small.lab.model_copy(update=values)})
    with pytest.raises(HostError, match=problem):
        run_in_lab(broken, workspace, ["true"], Progress())
    assert not left_behind(workspace)


def test_killed_command_leaves_no_process_and_no_mount(workspace: Workspace) -> None:
    words = [sys.executable, "-m", "hornet_cli", "lab", "run", "--", "sleep", "1000"]
    environment = {**os.environ, "PYTHONPATH": str(SOURCE), "HORNET_HOME": str(workspace.root)}
    process = subprocess.Popen(words, env=environment, stderr=subprocess.PIPE, text=True)
    assert process.stderr
    started = next(line for line in process.stderr if "starting" in line)
    assert started
    children = wait_for_virtiofsd(process.pid)
    process.kill()
    process.wait()
    gone, alive = psutil.wait_procs(children, END_TIMEOUT_S)
    assert gone
    assert not alive
    assert not [line for line in Path("/proc/self/mountinfo").read_text().splitlines() if "/build/lab/" in line]


def wait_for_virtiofsd(pid: int) -> Sequence[psutil.Process]:
    """Every process of a lab once virtiofsd runs."""
    deadline_s = time.monotonic() + LIMIT_S
    while time.monotonic() < deadline_s:
        children = psutil.Process(pid).children(recursive=True)
        if any(child.name() == "virtiofsd" for child in children):
            return children
        time.sleep(0.05)
    raise HornetError("virtiofsd did not start")
