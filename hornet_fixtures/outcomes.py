"""Writes what a run did to its directory: run.json, collected.json, and a line of outcomes.jsonl as each test ends."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Sequence
from pathlib import PurePath

import pytest

from hornet.errors import HornetError
from hornet.host.emulation import cpu_is_emulated
from hornet.host.revision import source_revision
from hornet.results.collected import note_collected
from hornet.results.outcomes import (
    EVIDENCE_PATTERN,
    EVIDENCE_PROPERTY,
    LANE_PROPERTY,
    MAX_DETAIL_CHARACTERS,
    MAX_LISTED,
    MAX_NAME_CHARACTERS,
    MAX_REASON_CHARACTERS,
    METRIC_PROPERTY,
    NEEDS_KVM_PROPERTY,
    REQUIREMENT_PROPERTY,
    TEST_PROPERTY,
    Case,
    Result,
    append_outcome,
    module_name,
)
from hornet.results.run_end import end_run
from hornet.results.run_info import RunInfo, begin_session
from hornet_fixtures.recording import RUN_DIRECTORY, is_recorded
from hornet_fixtures.requirement_markers import requirement_ids
from hornet_fixtures.session import read_spec
from hornet_fixtures.tiers import judged_tier

FIRST_WORKER = "gw0"
CRASHED = "???"
INTERRUPTED = 130
NOT_DONE = 2
_COLLECTED = pytest.StashKey[dict[str, list[str]]]()
_INTERRUPTED = pytest.StashKey[bool]()
_SESSION = pytest.StashKey[pytest.Session]()


def pytest_sessionstart(session: pytest.Session) -> None:
    """Write how this run is made, before anything is collected."""
    config = session.config
    if config.option.collectonly or hasattr(config, "workerinput"):
        return
    directory = config.stash[RUN_DIRECTORY]
    info = RunInfo(
        commit=source_revision(),
        tier=judged_tier(config),
        overlays=list(config.getoption("overlay")),
        life=config.getoption("life"),
        rerun_of=config.getoption("rerun_of", None),
    )
    config.stash[_SESSION] = session
    load_per_core = os.getloadavg()[0] / (os.cpu_count() or 1)
    config.pluginmanager.register(OutcomeWriter(config))
    try:
        directory.mkdir(parents=True, exist_ok=True)
        begin_session(directory, info, sys.argv, read_spec(config).model_dump(mode="json"), load_per_core)
    except HornetError as error:
        raise pytest.UsageError(str(error)) from error


def pytest_itemcollected(item: pytest.Item) -> None:
    """Note the test and its requirements before any option deselects it."""
    test = f"{module_name(item.path.with_suffix('').parts)}::{item.nodeid.partition('::')[2] or item.name}"
    ids = requirement_ids(item)
    item.user_properties += [(TEST_PROPERTY, test), *((REQUIREMENT_PROPERTY, key) for key in ids)]
    item.config.stash.setdefault(_COLLECTED, {})[test] = ids


def pytest_collection_finish(session: pytest.Session) -> None:
    """Write the tests. With pytest-xdist every worker collects the same ones, so only the first one writes."""
    config = session.config
    worker = getattr(config, "workerinput", {}).get("workerid", FIRST_WORKER)
    collected = config.stash.get(_COLLECTED, {})
    if not config.option.collectonly and worker == FIRST_WORKER and collected:
        note_collected(config.stash[RUN_DIRECTORY], collected)


@pytest.hookimpl(tryfirst=True)
def pytest_unconfigure(config: pytest.Config) -> None:
    """Close the run: after this nothing writes to it, and an edited file shows."""
    session = config.stash.get(_SESSION, None)
    if session is None or not (config.getoption("run_dir") or is_recorded(config.stash[RUN_DIRECTORY])):
        return
    exit_status = INTERRUPTED if config.stash.get(_INTERRUPTED, False) else int(session.exitstatus)
    try:
        end_run(config.stash[RUN_DIRECTORY], exit_status, read_spec(config))
    except (HornetError, OSError) as error:
        # Unclosed, it is not judged; whoever judges it says so, too.
        print(f"the run could not be closed: {error}", file=sys.stderr)


class OutcomeWriter:
    """Writes the outcomes. pytest-xdist gives the main process the reports of all workers; only it has this plugin."""

    def __init__(self, config: pytest.Config) -> None:
        self.config = config
        self.directory = config.stash[RUN_DIRECTORY]
        self.reports: dict[str, list[pytest.TestReport]] = {}

    def pytest_keyboard_interrupt(self) -> None:
        """Note it: pytest's exit code for an interrupt is also that of a run that was not judged."""
        self.config.stash[_INTERRUPTED] = True

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Write a line when the last phase of a test has ended, or its worker."""
        phases = self.reports.setdefault(report.nodeid, [])
        phases.append(report)
        if report.when in ("teardown", CRASHED) and self.directory.is_dir():
            try:
                append_outcome(self.directory, case_of(self.reports.pop(report.nodeid)).model_dump(mode="json"))
            except HornetError as error:
                pytest.exit(f"results are lost: {error}", returncode=NOT_DONE)


def case_of(phases: Sequence[pytest.TestReport]) -> Case:
    """The outcome of a test from the reports of its set-up, call and teardown; the first that did not pass counts."""
    properties = dict.fromkeys(pair for report in phases for pair in report.user_properties)
    values: dict[str, list[str]] = {}
    for name, value in properties:
        values.setdefault(name, []).append(str(value))
    counting = next((report for report in phases if report.failed), None) or next(
        (report for report in phases if report.skipped), None
    )
    tests = values.get(TEST_PROPERTY) or [_name(phases[0].nodeid)]
    return Case(
        test=tests[0][:MAX_NAME_CHARACTERS],
        result=_result(counting),
        reason=_reason(counting)[:MAX_REASON_CHARACTERS] if counting else "",
        detail=_detail(counting)[:MAX_DETAIL_CHARACTERS] if counting and counting.failed else "",
        requirements=tuple(values.get(REQUIREMENT_PROPERTY, ())),
        metric=next(iter(values.get(METRIC_PROPERTY, ())), None),
        needs_kvm=NEEDS_KVM_PROPERTY in values,
        lane=next(iter(values.get(LANE_PROPERTY, ())), None),
        lab=LANE_PROPERTY in values and cpu_is_emulated(),
        duration_s=round(sum(report.duration for report in phases), 3),
        # An error may name evidence outside the run, such as that of a VM which a fixture started by hand.
        evidence=tuple(path for path in values.get(EVIDENCE_PROPERTY, ()) if re.match(EVIDENCE_PATTERN, path))[
            :MAX_LISTED
        ],
    )


def _result(counting: pytest.TestReport | None) -> Result:
    if counting is None:
        return Result.PASSED
    if counting.skipped:
        return Result.NOT_JUDGED
    return Result.FAILED if counting.when == "call" else Result.ERROR


def _name(nodeid: str) -> str:
    """A test's name from its pytest id: a worker that crashed reports no properties."""
    path, _, name = nodeid.partition("::")
    return f"{module_name(PurePath(path).with_suffix('').parts)}::{name}"


def _reason(report: pytest.TestReport) -> str:
    """Why a test did not pass, on one line."""
    if isinstance(report.longrepr, tuple):
        text = report.longrepr[2].removeprefix("Skipped: ")
    else:
        crash = getattr(report.longrepr, "reprcrash", None)
        text = crash.message if crash else str(report.longrepr)
    return " ".join(text.split())


def _detail(report: pytest.TestReport) -> str:
    return "\n".join([report.longreprtext, *(f"--- {title}\n{text}" for title, text in report.sections)])
