"""Phase 4: the health check reports a healthy guest, and an unhealthy one for each of three causes."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from hornet.spec.model import Spec
from hornet.spec.rules import Health
from hornet.vm.probes import ProbeResults
from hornet_fixtures.assertions import assert_no_problems
from hornet_fixtures.guests import MutableVM
from hornet_fixtures.requirement_markers import check_cases

pytestmark = pytest.mark.conformance


@pytest.mark.parametrize("check", check_cases("health"))
def test_health_check_reports_the_state(
    check: Callable[[Health, ProbeResults], list[str]], spec: Spec, mutable_vm: MutableVM
) -> None:
    assert_no_problems(check(spec.health, mutable_vm.facts))
