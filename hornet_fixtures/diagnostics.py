"""A failed test shows the consoles of the VMs that run, whichever phase failed: fixture set-up included."""

from __future__ import annotations

from collections.abc import Generator

import pytest

from hornet.errors import HornetError
from hornet.fleet import Fleet


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.failed:
        if call.excinfo and isinstance(call.excinfo.value, HornetError):
            # An expected error says all that there is to know; frames of the suite would bury it.
            report.longrepr = str(call.excinfo.value)
        for vm in Fleet.running:
            report.sections.append((f"console of {vm.name}", vm.evidence()))
    return report
