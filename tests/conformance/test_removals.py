"""What We Remove: nothing of it is in the image, and nothing in the image still needs it. No VM is needed."""

from __future__ import annotations

import pytest

from hornet.procedures.judge_image import ImageProblems
from hornet_fixtures.assertions import assert_no_problems

# Each case carries the mark of its removal, as in requirement("removed-perl"). Removals that the tier is exempt from
# have no case.
pytestmark = pytest.mark.conformance


def test_it_is_not_there(removal_check: str, image_problems: ImageProblems) -> None:
    assert_no_problems(image_problems[removal_check])


def test_every_script_has_its_interpreter(image_problems: ImageProblems) -> None:
    assert_no_problems(image_problems["dangling.interpreter"])


def test_every_program_has_its_libraries(image_problems: ImageProblems) -> None:
    assert_no_problems(image_problems["dangling.library"])
