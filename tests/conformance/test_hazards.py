"""What a restore must preserve and what it must renew, judged on several clones of one snapshot.

Each hazard of hornet/checks/hazards.py is a case of one test.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from hornet.checks.hazards import LineageFacts
from hornet.scenarios.lineage import Lineage
from hornet.spec.lane import Lane
from hornet.spec.model import Spec
from hornet.vmm.registry import driver_of
from hornet_fixtures.assertions import assert_no_problems
from hornet_fixtures.requirement_markers import check_cases

pytestmark = pytest.mark.conformance


@pytest.mark.parametrize("check", check_cases("hazard"))
def test_clones_are_safe(
    check: Callable[[Spec, LineageFacts], list[str]],
    lineage: Lineage,
    spec: Spec,
    lane: Lane,
    request: pytest.FixtureRequest,
) -> None:
    problems = check(spec, lineage.facts)
    assert_no_problems(problems and [*problems, *known_hazards(lane, spec, lineage, request.node.callspec.id)])


def known_hazards(lane: Lane, spec: Spec, lineage: Lineage, check: str) -> list[str]:
    """What is known of the lane's VMM that makes this check fail. It stays a failure, with its reason."""
    guest_kernel = lineage.parent.bundle.manifest().origin.kernel_release or ""
    return spec.firecracker.explain(check, driver_of(lane).hazards(spec.firecracker, guest_kernel))
