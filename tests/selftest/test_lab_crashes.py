"""An emulated host of the lab that crashes: told apart from a failure of what ran in it, and started once more."""

from __future__ import annotations

import os
import signal
import subprocess
from contextlib import nullcontext
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest

from hornet.host.progress import Progress
from hornet.host.workspace import Workspace
from hornet.spec.model import Spec
from hornet_fixtures import in_lab
from lab import session
from lab.job import Job
from lab.machine import CONSOLE_FILE, LOG_FILE, Machine
from lab.session import Ended, LabCrashedError, _await_exit


def test_crash_without_a_panic_is_one_too() -> None:
    machine: Any = Mock(next_message=lambda timeout_s: "", last_words=lambda: "QEMU's log:\nSegmentation fault")
    with pytest.raises(LabCrashedError, match=r"crashed: it ended before the command\nQEMU's log:\nSegm"):
        _await_exit(machine, 5)


@pytest.mark.parametrize(
    ("outcomes", "starts", "exit_code"),
    [([Ended(1, [])], 1, 1), ([LabCrashedError("x"), Ended(1, [])], 2, 1), ([LabCrashedError("x")] * 3, 2, None)],
)
def test_command_runs_once_more_after_a_crash_only(
    outcomes: list[Any], starts: int, exit_code: int | None, spec: Spec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    once = Mock(side_effect=outcomes)
    for name, replacement in {"_run_once": once, "build_components": Mock(), "check_memory": Mock()}.items():
        monkeypatch.setattr(session, name, replacement)
    with nullcontext() if exit_code is not None else pytest.raises(LabCrashedError):
        assert session.run_in_lab(spec, Workspace(tmp_path), ["true"], Progress()).exit_code == exit_code
    assert once.call_count == starts


def test_a_second_start_has_the_time_that_is_left(spec: Spec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    limits_s: list[float] = []

    def crash(spec: Spec, workspace: Workspace, parts: object, job: Job, progress: Progress) -> Ended:
        limits_s.append(job.time_limit_s)
        now_s[0] += 7
        raise LabCrashedError("x")

    now_s = [100.0]
    replacements = {"_run_once": crash, "build_components": Mock(), "check_memory": Mock()}
    for name, replacement in replacements.items():
        monkeypatch.setattr(session, name, replacement)
    monkeypatch.setattr(session, "time", Mock(monotonic=lambda: now_s[0]))
    for limit_s in (10, 7):
        with pytest.raises(LabCrashedError):
            session.run_in_lab(spec, Workspace(tmp_path), ["true"], Progress(), time_limit_s=limit_s)
    assert limits_s == [10, 3, 7]


def test_a_fault_is_shown_although_its_trace_is_long(tmp_path: Path) -> None:
    trace = "\n".join(f"[  9.{number}]  function_{number}+0x1/0x2" for number in range(200))
    (tmp_path / CONSOLE_FILE).write_text(
        f"[  9.0] BUG: unable to handle page fault for address: 0\r\n[  9.1] CPU: 1 PID: 7 Comm: vcpu 0\n{trace}\n"
        + "".join(f"[  9.{number}] RIP: 0010:exc_page_fault+0x21/0x180\r\n" for number in range(200))
        + f"[  9.9] Kernel panic - not syncing: Fatal exception\n{trace}\n"
    )
    (tmp_path / LOG_FILE).touch()
    words = Machine.last_words(Mock(_directory=tmp_path))
    assert words.splitlines()[:5] == [
        "faults:",
        "BUG: unable to handle page fault for address: 0",
        "CPU: 1 PID: 7 Comm: vcpu 0",
        "RIP: 0010:exc_page_fault+0x21/0x180",
        "Kernel panic - not syncing: Fatal exception",
    ]
    (tmp_path / CONSOLE_FILE).write_text(f"[  0.1] smpboot: CPU: 2 processors\n{trace}")
    assert Machine.last_words(Mock(_directory=tmp_path)).startswith("console:\n")


def test_crash_of_the_lab_is_neither_a_failure_nor_an_error_of_use(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    config: Any = Mock(getoption=lambda option: {"lab": True, "spec": None, "overlay": []}.get(option))
    monkeypatch.setattr(in_lab, "require_root", Mock())
    monkeypatch.setattr(in_lab, "run_in_lab", Mock(side_effect=LabCrashedError("the emulated host crashed: oops")))
    monkeypatch.setattr(in_lab, "_build", Mock())
    assert in_lab.pytest_cmdline_main(config) == in_lab.CRASHED
    assert capsys.readouterr().err.startswith("not judged: the emulated host crashed: oops")


@pytest.mark.parametrize(
    ("code", "step", "said"),
    [
        (0, 0, "qemu/kvm: proved in the lab"),
        (in_lab.CRASHED, 0, "qemu/kvm: NOT PROVED: the lab's emulated host crashed"),
        (128 + signal.SIGTERM, 0, "qemu/kvm: NOT PROVED: the lab's time was over"),
        *((code, code, "") for code in (1, 2, 3, 4, 5)),
    ],
)
def test_step_of_ci_fails_by_tests_and_says_what_is_not_proved(code: int, step: int, said: str, tmp_path: Path) -> None:
    fake = tmp_path / "pytest"
    fake.write_text(f'#!/bin/sh\necho "$@" >{tmp_path}/arguments\nexit {code}\n')
    fake.chmod(0o755)
    words = ["sh", str(Path(session.__file__).with_name("prove.sh")), "qemu/kvm", "-q", "tests/x.py"]
    environment = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    done = subprocess.run(words, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.strip()) == (step, said)
    assert (tmp_path / "arguments").read_text() == "--lab --lane=qemu/kvm -q tests/x.py\n"
