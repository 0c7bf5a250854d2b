"""Phase 4: the health check calls a well guest healthy, and unhealthy for each of its three causes."""

from __future__ import annotations

import pytest

from hornet.checks import health
from hornet.spec.model import Spec
from hornet_fixtures.assertions import holds
from hornet_fixtures.guests import Scratch
from hornet_fixtures.requirement_markers import check_cases

pytestmark = pytest.mark.conformance

CHECKS = {
    health.well_problems: ["health-exit-code"],
    health.ssh_problems: ["health-ssh", "health-exit-code"],
    health.network_problems: ["health-network"],
    health.disk_problems: ["health-disk"],
}


@pytest.mark.parametrize("check", check_cases(CHECKS))
def test_the_health_check_tells(check, spec: Spec, scratch: Scratch) -> None:
    holds(check(spec.health, scratch.facts))
