"""Options of the randomised fault test, and its counts at the end of a run."""

from __future__ import annotations

import pytest

from hornet.host.workspace import Workspace
from tests.faults.tally import TALLY
from tests.faults.world import what_is_hidden

DEFAULT_FAULTS, DEFAULT_SEED = 25, 20261126


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("faults", "the randomised fault test (tests/faults)")
    group.addoption(
        "--faults",
        metavar="N",
        type=int,
        default=DEFAULT_FAULTS,
        help=f"how many faults (default {DEFAULT_FAULTS}: a few minutes; 500: an hour or two)",
    )
    group.addoption(
        "--fault-seed", metavar="S", type=int, default=DEFAULT_SEED, help=f"which faults (default {DEFAULT_SEED})"
    )
    group.addoption(
        "--fault-command", metavar="NAME", action="append", default=[], help="faults of this command only; repeatable"
    )
    group.addoption(
        "--fault", metavar="LINE", action="append", default=[], help="this one, as a failure prints it; repeatable"
    )


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "drawn" in metafunc.fixturenames:
        lines = metafunc.config.getoption("fault")
        metafunc.parametrize("drawn", lines or range(metafunc.config.getoption("faults")))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Not a fixture: a kernel would be built before it could say that nothing can be judged."""
    hidden = what_is_hidden(Workspace.from_env().root)
    for item in items if hidden else ():
        if {"drawn", "small_home"} & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.skip(reason=f"not judged: {hidden}"))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for line in TALLY.lines():
        terminalreporter.write_line(line)
