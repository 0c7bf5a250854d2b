"""What a restore must preserve and what it must renew, judged on several clones of one snapshot.

Each hazard of hornet/checks/hazards.py is a case of one test.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from hornet.checks.hazards import LineageFacts
from hornet.scenarios.lineage import Lineage
from hornet.spec.model import Spec
from hornet_fixtures.assertions import assert_no_problems
from hornet_fixtures.requirement_markers import check_cases

pytestmark = pytest.mark.conformance


@pytest.mark.parametrize("check", check_cases("hazard"))
def test_clones_are_safe(check: Callable[[Spec, LineageFacts], list[str]], lineage: Lineage, spec: Spec) -> None:
    assert_no_problems(check(spec, lineage.facts))
