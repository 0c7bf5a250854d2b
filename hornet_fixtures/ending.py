"""How a run ends by a signal: once cleaned up, with the shell's exit code, its workers with it."""

from __future__ import annotations

import os
import signal
import sys
from contextlib import suppress
from functools import partial
from typing import Any

import pytest

from hornet.host.interrupts import before_interrupt, end_on_signals, ended_by, last_line

BY_SIGNAL = 128
ANSWER_TIMEOUT_S = 60


@pytest.hookimpl(tryfirst=True)
def pytest_configure() -> None:
    end_on_signals()


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """xdist: a signal that only the run itself gets ends its workers too; each cleans up what it has made."""
    pid = node.gateway.remote_exec("import os; channel.send(os.getpid())").receive(ANSWER_TIMEOUT_S)
    before_interrupt(partial(_terminate, pid))


def _terminate(pid: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGTERM)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Also if a clean-up that failed has replaced the KeyboardInterrupt."""
    if number := ended_by():
        session.exitstatus = BY_SIGNAL + number


@pytest.hookimpl(trylast=True)
def pytest_unconfigure(config: pytest.Config) -> None:
    if (number := ended_by()) and not hasattr(config, "workerinput"):
        with suppress(OSError):
            print(last_line(number), file=sys.stderr)
