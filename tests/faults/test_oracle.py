"""The oracle of the fault test finds what it must, and says nothing of a command that does all well."""

from __future__ import annotations

import random
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from hornet.host.facts import require_root
from hornet.host.workspace import Workspace
from tests.faults.commands import COMMANDS
from tests.faults.plan import Plan, draw
from tests.faults.shams import SHAMS
from tests.faults.trial import play


@pytest.fixture(scope="module")
def small_home(workspace: Workspace) -> Iterator[Path]:
    """A home with one artifact; not in /tmp, which the fault test covers."""
    require_root()
    with tempfile.TemporaryDirectory(prefix="faults-", dir=workspace.root) as directory:
        kernel = Path(directory, "build/kernel/k")
        kernel.mkdir(parents=True)
        (kernel / "vmlinux").write_text("a kernel")
        (kernel / "inputs.json").write_text("{}")
        yield Path(directory)


@pytest.mark.parametrize("name", SHAMS)
def test_oracle_detects_each_kind_of_misbehaviour(name: str, small_home: Path) -> None:
    fault = "TERM:command" if name == "deaf" else "none"
    result = play(Plan.parse(f"sham-{name} {fault} start+0.5"), small_home)
    expected = SHAMS[name][1]
    found = [problem for problem in result.problems if expected and re.search(expected, problem)]
    assert bool(found) == bool(expected), result
    assert expected or not result.problems


def test_fault_line_replays_the_same_fault() -> None:
    for number in range(200):
        plan = draw(random.Random(f"1 {number}"), lambda command: 2.0)
        assert str(Plan.parse(str(plan))) == str(plan)
        assert str(draw(random.Random(f"1 {number}"), lambda command: 2.0)) == str(plan)


def test_a_fault_is_drawn_only_where_it_can_be_done() -> None:
    plans = [draw(random.Random(f"2 {number}"), lambda command: 2.0) for number in range(2000)]
    assert all(plan.fault.needs in plan.command.makes for plan in plans if plan.fault.needs)
    assert {plan.command.name for plan in plans} == {name for name, command in COMMANDS.items() if command.weight}
