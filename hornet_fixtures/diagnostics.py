"""The reports of tests: they tell verdicts from errors, show the VMs' consoles, and contain no control characters.

If any phase of a test fails, fixture set-up included, its report shows the consoles of the running VMs. A failure is a
verdict: a problem that a check found, or a failed assertion of the test itself. Any other exception means that the test
could not judge. It is an error in every output. A run with errors but without failures ends with exit code 2.
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

# The limit for one section of a report, such as a console.
MAX_SECTION_CHARACTERS = 200_000
MAX_NAME_CHARACTERS = 60
# In the suite's own tests any exception is a failure of the code under test.
OWN_TESTS = (TESTS / "selftest", TESTS / "guest")
NOT_JUDGED_EXIT_CODE = 2
# Maps a failure's short text to the test that showed it first.
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
            # The message of an expected error is complete; a traceback of the suite would hide it.
            report.longrepr = str(shown_before or error)
        if report.when == "call" and call.excinfo and not is_verdict(call.excinfo, item.path):
            # pytest reports an error, rather than a failure, only for set-up and teardown.
            report.when = "setup"
        for vm in () if shown_before else Fleet.running:
            report.sections.append((f"console of {vm.name}", vm.diagnostics() + _evidence(item, vm)))
    for name in ("longrepr", "sections", "user_properties", "wasxfail"):
        if hasattr(report, name):
            setattr(report, name, _printable(getattr(report, name)))
    return report


def _evidence(item: pytest.Item, vm: VM) -> str:
    """A last line with the path of the VM's console and log in the run directory; empty if nothing was kept."""
    name = re.sub(r"[^\w.-]+", "_", f"{item.name[:MAX_NAME_CHARACTERS]}-{vm.name}")
    with suppress(OSError):
        if kept := keep_evidence(vm.directory, item.config.stash[RUN_DIRECTORY] / EVIDENCE, name):
            return f"\nconsole and log: {kept}"
    return ""


def _first_shown_by(item: pytest.Item, error: VMFailedError) -> str:
    """One line that refers to the earlier test that showed this VM failure in full; empty if there is none."""
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
    """Keep pytest's exit code for failures (1) for verdicts."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if session.exitstatus == pytest.ExitCode.TESTS_FAILED and reporter and not reporter.stats.get("failed"):
        session.exitstatus = NOT_JUDGED_EXIT_CODE


def is_verdict(found: pytest.ExceptionInfo[BaseException], test_file: Path) -> bool:
    """Whether an exception is a verdict on the subject of the test; otherwise the test could not judge."""
    if any(test_file.is_relative_to(folder) for folder in OWN_TESTS):
        return True
    places = [Path(entry.path) for entry in found.traceback]
    if isinstance(found.value, pytest.fail.Exception):
        # pytest-timeout also fails a test, but a timeout is not a verdict.
        return all(place.name != "pytest_timeout.py" for place in places)
    if isinstance(found.value, AssertionError):
        return places[-1].is_relative_to(test_file.parent)
    return isinstance(found.value, BrokenSnapshotError)


def _printable(value: Any) -> Any:
    """Make every string printable in a report's text, in its sections, or in pytest's tree of a traceback."""
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
