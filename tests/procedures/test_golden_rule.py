"""The golden rule: three files are one unit, and no procedure changes a snapshot."""

from __future__ import annotations

import pytest

from hornet.checks.procedures import mixture_problems, touched_problems, wrong_approach_problems
from hornet_fixtures.assertions import assert_no_problems
from hornet_fixtures.procedures import MixedFiles, Trials

pytestmark = pytest.mark.procedures


@pytest.mark.requirement("files-atomic")
def test_a_file_of_another_snapshot_is_refused(mixed_files: MixedFiles) -> None:
    assert_no_problems(mixture_problems(mixed_files.refused))


@pytest.mark.requirement("wrong-approach-corrupts")
def test_a_restore_on_a_changed_disk_corrupts_it(mixed_files: MixedFiles) -> None:
    """The new version's disk is the snapshot's own with a change that the snapshot's memory does not know."""
    assert_no_problems(wrong_approach_problems(mixed_files.damage))


@pytest.mark.requirement("rootfs-never-changed")
def test_no_procedure_changes_the_snapshot(all_trials: Trials) -> None:
    problems = [touched_problems(procedure, all_trials.before, after) for procedure, after in all_trials.after.items()]
    assert_no_problems([problem for found in problems for problem in found])
