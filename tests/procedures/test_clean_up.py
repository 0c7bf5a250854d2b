"""Clean-up: nothing of a killed process stays, and nothing of the procedures (guide: Quick Reference)."""

from __future__ import annotations

import pytest

from hornet.checks.procedures import CleanUpFacts, clean_up_problems, remaining_problems
from hornet.procedures.trials.place import remaining
from hornet_fixtures.assertions import assert_no_problems
from hornet_fixtures.procedures import Trials

pytestmark = [pytest.mark.procedures, pytest.mark.requirement("cleanup")]


@pytest.mark.requirement("phase1-environment")
def test_next_start_removes_what_a_killed_process_left(clean_up: CleanUpFacts) -> None:
    assert_no_problems(clean_up_problems(clean_up))


def test_procedures_leave_nothing_behind(all_trials: Trials) -> None:
    assert_no_problems(remaining_problems(remaining(all_trials.place)))
