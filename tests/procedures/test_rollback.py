"""A backup of the three files, and SOP 3: production is put back to it."""

from __future__ import annotations

import pytest

from hornet.checks.procedures import RollbackFacts, backup_problems, rollback_problems
from hornet.procedures.trials.backup import BackupTrial
from hornet_fixtures.assertions import assert_no_problems

pytestmark = pytest.mark.procedures


@pytest.mark.requirement("phase1-backup", "files-three")
def test_backup_has_the_same_three_files(backup: BackupTrial) -> None:
    """The backup was adopted, so its manifest has the hashes of its files."""
    assert_no_problems(backup_problems(backup.files, backup.of_subject))


@pytest.mark.requirement("sop-rollback")
def test_rollback_restores_the_backup(rollback: RollbackFacts) -> None:
    assert_no_problems(rollback_problems(rollback))
