"""What We Remove: all of it is absent from the image, and nothing in the image still needs it. No VM is needed."""

from __future__ import annotations

import pytest

from hornet.procedures.judge_image import ImageProblems
from hornet_fixtures.assertions import assert_no_problems
from hornet_fixtures.requirement_markers import check_name_cases

# Each case carries the mark of its removal, as in requirement("removed-perl"). Removals that the tier is exempt from
# have no case.
pytestmark = pytest.mark.conformance


def test_removed_item_is_absent(removal_check: str, image_problems: ImageProblems) -> None:
    assert_no_problems(image_problems[removal_check])


@pytest.mark.parametrize("check", check_name_cases("dangling"))
def test_nothing_needs_what_was_removed(check: str, image_problems: ImageProblems) -> None:
    assert_no_problems(image_problems[check])
