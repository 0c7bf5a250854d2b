"""What a report of a test says: verdict or not, what the VMs had to say, and nothing that a terminal would obey.

A failed test shows the consoles of the VMs that run, whichever phase failed: fixture set-up included. A failure is a
verdict: a problem that a check found, or an assertion of the test itself. Whatever else ends a test means that it could
not judge: that is an error, in every output, and a run whose only trouble it is ends with exit code 2.
"""

from __future__ import annotations

import dataclasses
import re
import warnings
from collections.abc import Generator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from hornet.errors import BrokenSnapshotError, HornetError
from hornet.installation import TESTS
from hornet.text import printable
from hornet.vm.evidence import keep_evidence
from hornet.vm.fleet import VM, Fleet
from hornet.vmm.failure import VMFailedError
from hornet_fixtures.recording import EVIDENCE, RUN_DIRECTORY

# Of one section of a report, as a console.
MAX_SECTION_CHARACTERS = 200_000
MAX_NAME_CHARACTERS = 60
# In the suite's own tests any exception is a failure of what they test.
OWN_TESTS = (TESTS / "selftest", TESTS / "guest")
NOT_JUDGED_EXIT_CODE = 2
# By what it says: the test that showed it first.
SHOWN_FAILURES = pytest.StashKey[dict[str, str]]()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.failed:
        error = call.excinfo.value if call.excinfo else None
        shown_before = isinstance(error, VMFailedError) and _first_shown_by(item, error)
        if isinstance(error, HornetError):
            # An expected error says all that there is to know; frames of the suite would bury it.
            report.longrepr = str(shown_before or error)
        if report.when == "call" and call.excinfo and not is_verdict(call.excinfo, item.path):
            # pytest knows errors only outside of a test's call.
            report.when = "setup"
        for vm in () if shown_before else Fleet.running:
            report.sections.append((f"console of {vm.name}", vm.diagnostics() + _evidence(item, vm)))
    for name in ("longrepr", "sections", "user_properties", "wasxfail"):
        if hasattr(report, name):
            setattr(report, name, _printable(getattr(report, name)))
    return report


def _evidence(item: pytest.Item, vm: VM) -> str:
    """Where console and log of a failed test's VM are kept in the run directory, as a last line; else nothing."""
    name = re.sub(r"[^\w.-]+", "_", f"{item.name[:MAX_NAME_CHARACTERS]}-{vm.name}")
    with suppress(OSError):
        if kept := keep_evidence(vm.directory, item.config.stash[RUN_DIRECTORY] / EVIDENCE, name):
            return f"\nconsole and log: {kept}"
    return ""


def _first_shown_by(item: pytest.Item, error: VMFailedError) -> str:
    """Of a VM's failure that an earlier test has shown in full: one line that refers to it; else nothing."""
    first = item.config.stash.setdefault(SHOWN_FAILURES, {}).setdefault(error.short, item.nodeid)
    return "" if first == item.nodeid else f"{error.short}: see {first}"


@pytest.hookimpl(tryfirst=True)
def pytest_warning_recorded(warning_message: warnings.WarningMessage) -> None:
    warning_message.message = warning_message.category(printable(str(warning_message.message)))


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    report.longrepr = _printable(report.longrepr)
    return report


def pytest_sessionfinish(session: pytest.Session) -> None:
    """pytest's exit code for failures is for verdicts alone."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if session.exitstatus == pytest.ExitCode.TESTS_FAILED and reporter and not reporter.stats.get("failed"):
        session.exitstatus = NOT_JUDGED_EXIT_CODE


def is_verdict(found: pytest.ExceptionInfo[BaseException], test_file: Path) -> bool:
    """Whether an exception says that what is tested does not hold, and not that this could not be judged."""
    if any(test_file.is_relative_to(folder) for folder in OWN_TESTS):
        return True
    places = [Path(entry.path) for entry in found.traceback]
    if isinstance(found.value, pytest.fail.Exception):
        # pytest-timeout fails a test too, which has judged nothing by then.
        return all(place.name != "pytest_timeout.py" for place in places)
    if isinstance(found.value, AssertionError):
        return places[-1].is_relative_to(test_file.parent)
    return isinstance(found.value, BrokenSnapshotError)


def _printable(value: Any) -> Any:
    """The same with every text in it printable: a report's text, its sections, or pytest's tree of a traceback."""
    if isinstance(value, str):
        return printable(value, MAX_SECTION_CHARACTERS)
    if isinstance(value, list | tuple):
        return type(value)(map(_printable, value))
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        for field in dataclasses.fields(value):
            setattr(value, field.name, _printable(getattr(value, field.name)))
        if hasattr(value, "sections"):
            value.sections = _printable(value.sections)
    return value
