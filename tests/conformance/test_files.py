"""Files that an image must have, or must not have: [files] of the spec and of a team's overlays. No VM is needed."""

from __future__ import annotations

import pytest

from hornet.checks.files import file_problems
from hornet.image import ImageTree
from hornet.spec import Spec
from hornet_fixtures.judging import holds

# Each case carries the statement of its rule, if the guide has it, as in guide("file-healthcheck").
pytestmark = pytest.mark.conformance


def test_it_is_as_the_rule_says(file_rule: str, spec: Spec, image_tree: ImageTree) -> None:
    holds(file_problems(spec.files[file_rule], image_tree))
