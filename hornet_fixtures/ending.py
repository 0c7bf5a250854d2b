"""A signal ends the run and its workers. Each cleans up first; the exit code is the shell's (128 + signal)."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Generator
from contextlib import suppress
from functools import partial
from typing import Any

import pytest

from hornet.host.interrupts import (
    before_interrupt,
    end_on_signals,
    ended_by,
    finish_in_spite_of_signals,
    last_line,
)

BY_SIGNAL = 128
NOT_DONE = 2
ANSWER_TIMEOUT_S = 60
ENDED_BY = pytest.StashKey[signal.Signals]()


@pytest.hookimpl(tryfirst=True)
def pytest_configure() -> None:
    end_on_signals()


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """xdist: forward a signal that only the main process gets to the workers. Each worker cleans up."""
    pid = node.gateway.remote_exec("import os; channel.send(os.getpid())").receive(ANSWER_TIMEOUT_S)
    before_interrupt(partial(_terminate, pid))


def _terminate(pid: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGTERM)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    """Mark an interrupted benchmark: pytest-benchmark would save it, and break off the run's end if it has no data."""
    try:
        return (yield)
    except KeyboardInterrupt:
        if benchmark := getattr(item, "funcargs", {}).get("benchmark"):
            benchmark.has_error = True
        raise


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> Generator[None, None, None]:
    """Set the exit code, even if a failed clean-up replaced the KeyboardInterrupt or the signal comes very late."""
    finish_in_spite_of_signals()
    if number := ended_by():
        session.exitstatus = BY_SIGNAL + number
    try:
        yield
    except OSError as error:
        # pytest's own plugins write files here, such as junit.xml: a full disk is no verdict, and needs no traceback.
        session.exitstatus = NOT_DONE
        with suppress(OSError):
            print(f"{error.filename or 'results'}: {error.strerror}", file=sys.stderr)
    if number := ended_by():
        session.exitstatus = BY_SIGNAL + number
        session.config.stash[ENDED_BY] = number


@pytest.hookimpl(trylast=True)
def pytest_unconfigure(config: pytest.Config) -> None:
    """Print the last line, unless the signal came after the exit code was set."""
    if (number := config.stash.get(ENDED_BY, None)) and not hasattr(config, "workerinput"):
        with suppress(OSError):
            print(last_line(number), file=sys.stderr)
