"""The sandbox: work in it has no rights, sees nothing of the host, and ends within its limits."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
import pytest

from hornet.errors import HostError, SandboxError
from hornet.formats.ext4.examine import examine
from hornet.host.workspace import Workspace
from hornet.installation import SOURCE
from hornet.sandbox import MAX_ANSWER_BYTES, START_S, Limits, confined
from tests.support.command_samples import require_readable
from tests.support.namespace_samples import in_user_namespace

LIMITS = Limits(time_s=30.0)


def shell(command: str, limits: Limits = LIMITS, **more: Any) -> str:
    """What a shell in the sandbox prints."""
    return confined(subprocess.getoutput, {"cmd": command}, what="a thing", limits=limits, **more)


def test_work_has_no_rights() -> None:
    status = dict(line.split(":\t", 1) for line in shell("cat /proc/self/status").splitlines() if ":\t" in line)
    sets = {name: status[name] for name in status if name.startswith("Cap")}
    assert sets == dict.fromkeys(("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"), "0" * 16)
    assert status["NoNewPrivs"] == "1"
    users = {*status["Uid"].split(), *status["Gid"].split()}
    assert len(users) == 1
    assert int(users.pop()) > 1_000_000
    assert status["Groups"].strip() == ""


def test_each_piece_of_work_is_another_user() -> None:
    assert shell("id -u") != shell("id -u")


def test_work_sees_nothing_of_the_host(tmp_path: Path) -> None:
    for path in (
        Workspace.from_env().root / "keys",
        tmp_path,
        SOURCE / "tests",
        Path("/root"),
        Path("/home"),
        Path("/run"),
    ):
        pythons = [Path(prefix) for prefix in (sys.prefix, sys.base_prefix)]
        if ways := {python.relative_to(path).parts[0] for python in pythons if path in python.parents}:
            assert set(shell(f"ls -A '{path}'").split()) == ways, "only the way to Python"
        else:
            assert "No such file" in shell(f"ls -d '{path}' 2>&1"), path
    assert [line.split(":")[0].strip() for line in shell("cat /proc/net/dev").splitlines()[2:]] == ["lo"]
    processes = [name for name in shell("ls /proc").split() if name.isdigit()]
    assert len(processes) < 10, "another PID namespace"


@pytest.mark.parametrize("place", ["/", "/usr", "/etc", "/suite", "/suite/hornet", "/proc/sys/kernel", "/dev"])
def test_work_writes_nowhere_but_to_its_scratch(place: str) -> None:
    assert "cannot touch" in shell(f"touch {place}/planted")


def test_its_scratch_is_bounded_and_gone_afterwards() -> None:
    assert "No space left" in shell(f"head -c {LIMITS.scratch_bytes} /dev/zero >one; cat one >two")
    assert shell("ls -A; ls -A $TMPDIR") == ""


def test_an_input_stays_as_it_is_and_a_copy_may_be_changed(tmp_path: Path) -> None:
    given, copy = tmp_path / "given", tmp_path / "copy"
    for path in (given, copy):
        path.write_text("content")
        path.chmod(0o600)
    with given.open("rb") as stream, pytest.raises(SandboxError, match="OSError"):
        confined(os.truncate, {"length": 0}, what="it", limits=LIMITS, inputs={"path": stream})
    with copy.open("r+b") as stream:
        confined(os.truncate, {"length": 1}, what="it", limits=LIMITS, copies={"path": stream})
    assert (given.read_text(), given.stat().st_uid, copy.read_text()) == ("content", 0, "c")


def test_memory_is_bounded() -> None:
    with pytest.raises(SandboxError, match=r"a thing: .* MiB of memory"):
        confined(bytearray, {"source": 4 << 30}, what="a thing", limits=LIMITS)
    assert "MemoryError" in shell(f"{sys.executable} -c 'bytearray(4 << 30)'")


def test_the_number_of_processes_is_bounded() -> None:
    assert "fork" in shell("for i in $(seq 100); do sleep 1 & done 2>&1")


def test_work_without_an_end_is_ended() -> None:
    with pytest.raises(SandboxError, match=rf"a thing: .* timed out after {1 + START_S:g} s"):
        shell("sleep 600 & sleep 600", Limits(time_s=1.0))
    left = [process for process in psutil.process_iter(["cmdline"]) if process.info["cmdline"] == ["sleep", "600"]]
    assert psutil.wait_procs(left, START_S)[1] == [], "the kernel ends them, a moment later"


def test_an_endless_answer_is_cut_off() -> None:
    with pytest.raises(SandboxError, match="has more than"):
        shell(f"head -c {MAX_ANSWER_BYTES} /dev/zero | tr '\\0' a")


@pytest.mark.parametrize(
    ("function", "reason"),
    [(os.abort, "ended without an answer"), (os.getcwd.__class__, "has no attribute")],
    ids=["crash", "no such function"],
)
def test_work_that_gives_no_answer_is_an_error(function: Callable[..., object], reason: str) -> None:
    with pytest.raises(SandboxError, match=reason):
        confined(function, {}, what="a thing", limits=LIMITS)


def test_worker_with_privileges_does_not_start() -> None:
    """Without bubblewrap, and with a false user id: the worker checks its own privileges."""
    request: dict[str, object] = {
        "function": ["os", "getpid"],
        "arguments": {},
        "descriptors": {},
        "user": None,
        "limits": {},
    }
    worker = in_user_namespace(sys.executable, "-c", HALF_CONFINED, input_text=json.dumps(request))
    assert worker.returncode != 0
    assert "the sandbox is leaky" in worker.stdout


# Giving up rights fails without a word, as where a kernel or a container forbids it.
HALF_CONFINED = """
from hornet.sandbox import worker
worker.give_up_rights = lambda user: worker._check_powerless(user)
worker.main()
"""


def test_a_host_that_cannot_confine_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hornet.sandbox.BINARY", "no-such-bwrap")
    with pytest.raises(HostError, match=r"no-such-bwrap: not found(.|\n)*bubblewrap"):
        shell("true")


def test_a_kernel_that_forbids_namespaces_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A mock: this kernel has no setting that forbids root to create namespaces."""
    forbidden = tmp_path / "bwrap"
    forbidden.write_text("#!/bin/sh\necho 'bwrap: No permissions to create new namespace' >&2; exit 1\n")
    forbidden.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    with pytest.raises(HostError, match=r"cannot confine programs(.|\n)*new namespace(.|\n)*run as root"):
        shell("true")


def test_an_ordinary_user_is_confined_too() -> None:
    """The owner of the checkout, who can read it; or nobody, where root owns it."""
    user = SOURCE.stat().st_uid or 65534
    require_readable(["setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups", "--inh-caps=-all"])
    said = subprocess.run(
        [sys.executable, "-c", ORDINARY],
        user=user,
        group=user,
        extra_groups=[],
        cwd="/",
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, "PYTHONPATH": str(SOURCE)},
    )
    assert "CapBnd:\t0000000000000000" in said.stdout, said.stderr
    assert "'/srv': No such file or directory" in said.stdout


ORDINARY = """
import subprocess
from hornet.sandbox import Limits, confined
command = "cat /proc/self/status; ls -d /srv"
print(confined(subprocess.getoutput, {"cmd": command}, what="a thing", limits=Limits()))
"""


LOWER_LIMITS = """
import resource, subprocess
from hornet.sandbox import Limits, confined
resource.setrlimit(resource.RLIMIT_NOFILE, (40, 40))
print(confined(subprocess.getoutput, {"cmd": "ulimit -n"}, what="a thing", limits=Limits()))
"""


def test_a_lower_limit_of_the_caller_stays() -> None:
    done = subprocess.run([sys.executable, "-c", LOWER_LIMITS], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("40\n", "")


def test_a_worker_that_crashes_is_one_sentence() -> None:
    with pytest.raises(SandboxError) as found:
        confined(os.getpid, {}, what="a thing", limits=Limits(processes=-5))
    assert "a thing: the process that reads it ended without an answer" in found.value.message
    assert "Traceback" not in found.value.message


def test_a_ctrl_c_does_not_reach_work_at_its_start() -> None:
    """bubblewrap's first process would end before its second one notices."""
    with ThreadPoolExecutor(1) as pool:
        working = pool.submit(shell, "sleep 3")
        # Before it executes bubblewrap, the child is a copy of this process, in the session of this process.
        while not (workers := [child for child in psutil.Process().children() if child.name() == "bwrap"]):
            time.sleep(0.01)
        assert os.getsid(workers[0].pid) == workers[0].pid
        working.result()


NONSENSE = {
    "no object": "5",
    "neither result nor error": '{"verdict": "sound"}',
    "another type": '{"result": {"exit_code": "sound"}}',
    "too little": '{"result": [0, ""]}',
    "an error without words": '{"error": ["hornet.errors", "Ext4Error"]}',
    "an error of another kind": '{"error": ["os", "system", "said", ""]}',
    "nested without an end": "[" * 100_000,
    "cut off": '{"result": [0, "", [',
}


@pytest.mark.parametrize("answer", NONSENSE.values(), ids=NONSENSE)
def test_compromised_worker_can_only_return_the_declared_type(
    answer: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A mock: no file is known that compromises a worker."""
    (tmp_path / "answer").write_text(answer)
    taken_over = tmp_path / "bwrap"
    taken_over.write_text(f"#!/bin/sh\nexec cat {tmp_path}/answer\n")
    taken_over.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    with pytest.raises(SandboxError, match="a thing"):
        confined(examine, {}, what="a thing", limits=LIMITS)


def test_killed_worker_is_reported_as_killed() -> None:
    with pytest.raises(
        SandboxError, match=r"^a thing: the process that reads it ended without an answer \(killed by SIGKILL\)"
    ):
        shell("kill -KILL $PPID", LIMITS)
