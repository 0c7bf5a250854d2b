"""Random faults: after each, nothing is left or the next start removes it, and what the command said is true.

pytest tests/faults                                     a few minutes
pytest tests/faults --faults=500 --fault-seed=7         an hour or two, other faults
pytest tests/faults --fault='ext4 KILL:child work+0.1'  one of them again: a failure prints this line
"""

from __future__ import annotations

import json
import random
from dataclasses import asdict
from pathlib import Path

import pytest

from hornet.host.facts import require_root
from hornet.host.workspace import Workspace
from hornet.snapshot import Bundle
from tests.faults.commands import Command
from tests.faults.faults import NONE
from tests.faults.plan import Moment, Plan, draw
from tests.faults.tally import TALLY
from tests.faults.trial import Ended, Result, play
from tests.support.ext4_samples import loop_devices_work

pytestmark = pytest.mark.timeout(1200)

SHOWN_LINES = 30


class Controls:
    """Each command once without a fault: how long it takes, and that the oracle has no complaint then."""

    def __init__(self, workspace: Path) -> None:
        self._home = workspace
        self._duration_s: dict[str, float] = {}

    def duration_s(self, command: Command) -> float:
        if command.name not in self._duration_s:
            result = play(Plan(command, NONE, Moment("start", 0)), self._home)
            assert not result.problems, f"without any fault:\n{_report(result)}"
            assert result.ended
            assert result.again
            self._duration_s[command.name] = min(result.ended.took_s, result.again.took_s)
        return self._duration_s[command.name]


@pytest.fixture(scope="session")
def controls(workspace: Workspace, bundle: Bundle) -> Controls:
    """On this home; a kernel, an image and a snapshot are built if it has none."""
    require_root()
    return Controls(workspace.root)


def test_fault_leaves_no_files_and_no_false_verdict(
    drawn: int | str, controls: Controls, workspace: Workspace, run_directory: Path, pytestconfig: pytest.Config
) -> None:
    if isinstance(drawn, str):
        plan = Plan.parse(drawn)
    else:
        chance = random.Random(f"{pytestconfig.getoption('fault_seed')} {drawn}")
        plan = draw(chance, controls.duration_s, pytestconfig.getoption("fault_command"))
    if plan.fault.on_ext4 and not loop_devices_work():
        pytest.skip("not judged: a power cut needs a disk that is a file, and this host has no loop devices")
    result = play(plan, workspace.root)
    TALLY.count(plan, result.missed)
    with (run_directory / "faults.jsonl").open("a") as log:
        log.write(json.dumps(asdict(result)) + "\n")
    if result.problems:
        pytest.fail(_report(result), pytrace=False)


def _report(result: Result) -> str:
    lines = [f"  {problem}" for problem in result.problems]
    ends = [*_shown("the command", result.ended), *_shown("the next start", result.again)]
    again = f"again: pytest tests/faults --fault='{result.plan}'"
    return "\n".join([result.plan + (f" (missed: {result.missed})" if result.missed else ""), *lines, *ends, again])


def _shown(which: str, ended: Ended | None) -> list[str]:
    if ended is None:
        return []
    text = [f"    | {line}" for line in (ended.stdout + ended.stderr).splitlines()]
    return [f"  {which}: exit code {ended.code} after {ended.took_s:.1f} s", *text[-SHOWN_LINES:]]
