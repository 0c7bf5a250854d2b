"""SOP 1 and 2: a new version is made inside a running VM, validated and published (guide: Correct Workflow)."""

from __future__ import annotations

import pytest

from hornet.checks.procedures import RollbackFacts, change_problems, step_problems, version_problems
from hornet.procedures import validate
from hornet.procedures.trials.new_version import VersionTrial
from hornet_fixtures.assertions import assert_no_problems

pytestmark = pytest.mark.procedures

CONSISTENT = (validate.SEAL, validate.FILE_SYSTEM, validate.SYMPTOMS, validate.DISK_AFTER)


@pytest.mark.requirement("sop-new-version")
def test_new_version_is_published(new_version: VersionTrial) -> None:
    assert_no_problems(version_problems(new_version.facts))


@pytest.mark.requirement("correct-workflow")
def test_new_version_is_consistent(new_version: VersionTrial) -> None:
    assert_no_problems(step_problems(CONSISTENT, new_version.facts))


@pytest.mark.parametrize(
    "step",
    [
        pytest.param(validate.RESTORE, id="ssh", marks=pytest.mark.requirement("sop-validate-ssh")),
        pytest.param(validate.TOOLS, id="tools", marks=pytest.mark.requirement("sop-validate-tools")),
    ],
)
def test_new_version_is_validated(step: str, new_version: VersionTrial) -> None:
    assert_no_problems(step_problems([step], new_version.facts))


@pytest.mark.requirement("change-inside-vm")
def test_new_version_has_the_change(rollback: RollbackFacts) -> None:
    assert_no_problems(change_problems(rollback))
