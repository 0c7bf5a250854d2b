"""Processes of the host."""

from __future__ import annotations

import os
import subprocess

from hornet.proc import is_running


def test_a_process_that_ended_does_not_run_though_nobody_waited_for_it() -> None:
    with subprocess.Popen(["sleep", "60"]) as process:
        assert is_running(process.pid)
        process.kill()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        assert not is_running(process.pid)
    assert not is_running(process.pid)
