"""What We Remove: nothing of it is in the image, and nothing in the image still needs it. No VM is needed."""

from __future__ import annotations

import pytest

from hornet.checks import leftovers
from hornet.checks.catalog import image_checks
from hornet.image import ImageTree
from hornet.spec import Spec
from hornet_fixtures.judging import holds

# Each case carries the mark of its removal, as in guide("removed-perl"); a tier's `keeps` have no case.
pytestmark = pytest.mark.conformance


def test_it_is_not_there(removal_check: str, spec: Spec, image_tree: ImageTree) -> None:
    holds(image_checks(spec)[removal_check](image_tree))


def test_every_script_has_its_interpreter(spec: Spec, image_tree: ImageTree) -> None:
    holds(leftovers.interpreter_problems(spec.leftovers, image_tree))


def test_every_program_has_its_libraries(spec: Spec, image_tree: ImageTree) -> None:
    holds(leftovers.library_problems(spec.leftovers, image_tree))
