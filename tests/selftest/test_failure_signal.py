"""A VM's failure: the first reason stands, everybody is told, and it says how the VMM ended."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest

from hornet.procedures import validate
from hornet.vmm.failure import FailureSignal, VMFailedError, await_exit, describe_exit

TIMEOUT_S = 20


def ended_vm(script: str, last_words: str = "LAST WORDS", *, started: bool = True) -> VMFailedError:
    """The error of a VM whose VMM was this script; started: it had answered before."""
    failure = FailureSignal("vm1")
    failure.started = started
    with subprocess.Popen(["sh", "-c", script]) as process:
        failure.note_exit(process, lambda: last_words)
    with pytest.raises(VMFailedError) as caught:
        failure.check("waiting for port 22")
    return caught.value


@pytest.mark.parametrize(
    ("script", "how", "hint"),
    [
        ("exit 0", "ended with exit code 0", "log"),
        ("exit 3", "ended with exit code 3", "log"),
        ("kill -KILL $$", "was killed by SIGKILL", "ran out of memory"),
        ("kill -BUS $$", "was killed by SIGBUS", "was truncated"),
        ("kill -SYS $$", "was killed by SIGSYS", "seccomp"),
        ("kill -XFSZ $$", "was killed by SIGXFSZ", "more to a file"),
        ("kill -SEGV $$", "was killed by SIGSEGV", ""),
        ("kill -40 $$", "was killed by signal 40", ""),
    ],
)
def test_the_error_says_how_the_vmm_ended(script: str, how: str, hint: str) -> None:
    error = ended_vm(script)
    assert f"{how} (noticed while waiting for port 22)\nLAST WORDS" in error.message
    assert hint in error.hint
    assert how in error.short
    assert "LAST WORDS" not in error.short


@pytest.mark.parametrize(
    ("script", "last_words", "verdict"),
    [
        ("kill -KILL $$", "", "NOT JUDGED"),
        ("kill -TERM $$", "", "NOT JUDGED"),
        ("kill -BUS $$", "", "NOT JUDGED"),
        ("exit 0", "qemu-system-x86_64: terminating on signal 15 from pid 7", "NOT JUDGED"),
        ("exit 1", "qemu-system-x86_64: allocate 268435456 bytes for jit buffer: Cannot allocate memory", "NOT JUDGED"),
        ("exit 1", "console:\n[ 9.1] fork: Cannot allocate memory\nVMM log:\n", "FAIL"),
        ("exit 0", "", "FAIL"),
        ("kill -SEGV $$", "", "FAIL"),
        ("kill -SYS $$", "", "FAIL"),
    ],
)
def test_a_vmm_that_the_host_ends_is_no_verdict(script: str, last_words: str, verdict: str) -> None:
    assert validate._not_passed("restore", ended_vm(script, last_words)).verdict == verdict


@pytest.mark.parametrize("script", ["exit 1", "exit 0", "kill -ABRT $$"])
def test_vmm_that_never_started_is_not_a_verdict(script: str) -> None:
    """The VMM has not read the snapshot yet."""
    assert validate._not_passed("restore", ended_vm(script, started=False)).verdict == "NOT JUDGED"


def test_full_host_disk_is_not_a_verdict(tmp_path: Path) -> None:
    failure = FailureSignal("vm1")
    failure.note_disk_error(tmp_path / "rootfs.ext4", "enospc")
    assert validate._not_passed("restore", failure.error()).verdict == "NOT JUDGED"


def test_first_failure_reason_is_kept() -> None:
    failure = FailureSignal("vm1")
    failure.set("was removed")
    failure.set("had a kernel panic")
    with pytest.raises(VMFailedError, match=r"^VM vm1 was removed$"):
        failure.check()


def test_running_vm_has_no_failure() -> None:
    failure = FailureSignal("vm1")
    failure.check()
    assert not failure.wait(0)


def test_every_listener_is_called_once_even_a_late_one() -> None:
    """Listeners are added while the failure is recorded."""
    failure, called = FailureSignal("vm1"), list[int]()
    with ThreadPoolExecutor(8) as pool:
        for number in range(200):
            pool.submit(failure.on_failure, partial(called.append, number))
            if number == 100:
                pool.submit(failure.set, "was removed")
    failure.on_failure(lambda: called.append(200))
    assert sorted(called) == list(range(201))


def test_a_process_that_others_wait_for_is_described() -> None:
    """The process may be waited for before the kill, during it, or never."""
    for kill_first in (True, False):
        with subprocess.Popen(["sleep", "60"]) as process:
            if kill_first:
                process.kill()
                process.wait()
            else:
                threading.Timer(0.2, lambda process=process: (process.kill(), process.wait())).start()
            assert describe_exit(await_exit(process))[0] == "was killed by SIGKILL"


def test_a_stopped_vmm_is_named() -> None:
    failure = FailureSignal("vm1")
    assert failure.stopped() == "", "not started yet"
    with subprocess.Popen(["sleep", "60"]) as process:
        failure.pid = process.pid
        assert failure.stopped() == ""
        process.send_signal(signal.SIGSTOP)
        deadline_s = time.monotonic() + TIMEOUT_S
        while not failure.stopped():
            assert time.monotonic() < deadline_s
        assert f"process {process.pid}) is stopped (state T)" in failure.stopped()
        process.kill()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert failure.stopped() == "", "it is gone"
