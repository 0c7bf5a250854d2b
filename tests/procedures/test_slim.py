"""Phase 1 on the new version: everything is removed inside the running VM, and a new snapshot is taken."""

from __future__ import annotations

import pytest

from hornet.checks.procedures import SlimFacts, removal_problems, slim_snapshot_problems
from hornet_fixtures.assertions import assert_no_problems

pytestmark = pytest.mark.procedures


@pytest.mark.requirement("phase1-restore", "phase1-removals")
def test_planted_files_are_removed_inside_the_vm(slimmed: SlimFacts) -> None:
    assert_no_problems(removal_problems(slimmed))


@pytest.mark.requirement("phase1-tools")
def test_tools_work_after_the_removals(slimmed: SlimFacts) -> None:
    assert_no_problems(slimmed.tool_problems)


@pytest.mark.requirement("phase1-snapshot")
def test_slimmed_vm_is_snapshotted(slimmed: SlimFacts) -> None:
    assert_no_problems(slim_snapshot_problems(slimmed))
