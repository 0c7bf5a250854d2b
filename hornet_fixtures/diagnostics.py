"""The reports of tests: they tell verdicts from errors, show the VMs' consoles, and contain no control characters.

If any phase of a test fails, fixture set-up included, its report shows the consoles of the VMs that the test used, and
names the directories with their evidence. A failure is a verdict: a problem that a check found, or a failed assertion
of the test itself. Any other exception means that the test could not judge. It is an error in every output. A run with
errors but without failures ends with exit code 2.
"""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest
from _pytest._code.code import ReprEntryNative, ReprExceptionInfo, ReprFileLocation, ReprTraceback

from hornet.errors import BrokenSnapshotError, HornetError
from hornet.installation import TESTS
from hornet.results.outcomes import EVIDENCE_PROPERTY
from hornet.text import printable
from hornet.vmm.failure import VMFailedError
from hornet_fixtures import debugging
from hornet_fixtures.evidence import RUN_EVIDENCE

# The limit for one section of a report, such as a console.
MAX_SECTION_CHARACTERS = 200_000
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
        if call.excinfo and isinstance(error, HornetError) and not _full_traceback(item.config):
            # The message of an expected error is complete; a traceback of the suite would hide it.
            report.longrepr = shown_before or _with_own_line(item, call.excinfo)
        if report.when == "call" and call.excinfo and not is_verdict(call.excinfo, item.path):
            # pytest reports an error, rather than a failure, only for set-up and teardown.
            report.when = "setup"
        _show_vms(item, report, error, consoles=not shown_before)
    elif report.when == "teardown":
        _note_evidence(item, report, item.config.stash[RUN_EVIDENCE].keep_passed(item))
    if report.when == "teardown":
        item.config.stash[RUN_EVIDENCE].forget(item)
    for name in ("longrepr", "sections", "user_properties", "wasxfail"):
        if hasattr(report, name):
            setattr(report, name, _printable(getattr(report, name)))
    return report


def _show_vms(item: pytest.Item, report: pytest.TestReport, error: BaseException | None, *, consoles: bool) -> None:
    """Keep the evidence of the VMs that the test used, and show each with its console."""
    evidence = item.config.stash[RUN_EVIDENCE]
    vms = evidence.vms_of(item)
    directories = [error.evidence] if isinstance(error, HornetError) and error.evidence else []
    for vm in vms:
        kept = evidence.keep(item, vm)
        directories += [kept] if kept else []
        where = f"console and logs: {kept}" if kept else evidence.store.why_not_kept
        if consoles:
            report.sections.append((f"console of {vm.name}", f"{vm.diagnostics()}\n{where}"))
    _note_evidence(item, report, directories)
    if item.config.getoption("keep_vms"):
        debugging.keep_vms(item, vms)
    if item.config.getoption("pause_on_failure"):
        debugging.pause(item, vms)
        debugging.release_vms(item.config)


def _note_evidence(item: pytest.Item, report: pytest.TestReport, directories: list[Path]) -> None:
    """Name the directories in this report and the later ones of the test."""
    for directory in directories:
        named = (EVIDENCE_PROPERTY, item.config.stash[RUN_EVIDENCE].relative(directory))
        for properties in (item.user_properties, report.user_properties):
            if named not in properties:
                properties.append(named)


def _full_traceback(config: pytest.Config) -> bool:
    return bool(config.option.fulltrace) or config.option.tbstyle in ("long", "native")


def _with_own_line(item: pytest.Item, found: pytest.ExceptionInfo[BaseException]) -> ReprExceptionInfo:
    """The message of an error, and the line of the test from which it came, or else that of the test."""
    message = str(found.value)
    own = [entry for entry in found.traceback if Path(entry.path) == item.path]
    line = own[-1].lineno + 1 if own else (item.location[1] or 0) + 1
    place = ReprFileLocation(item.location[0], line, message)
    where = f"{item.location[0]}:{line}: in {own[-1].name if own else f'a fixture of {item.name}'}"
    shown = ReprTraceback([ReprEntryNative([f"{message}\n\n{where}\n"])], None, "native")
    return ReprExceptionInfo(shown, place)


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
