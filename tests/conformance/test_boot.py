"""How the guest booted: nothing bad in its log, no stall, every service running, no swap."""

from __future__ import annotations

import pytest

from hornet.checks import boot
from hornet.facts import Facts
from hornet.spec import Spec
from hornet_fixtures.guide import check_cases
from hornet_fixtures.judging import holds

pytestmark = pytest.mark.conformance

# Each check with the statements that it proves.
CHECKS = {
    boot.argument_problems: ["trouble-entropy"],
    boot.entropy_problems: ["trouble-entropy"],
    boot.kernel_log_problems: [],
    boot.service_problems: [],
    boot.swap_problems: [],
    boot.phase_problems: ["trouble-entropy"],
}


@pytest.mark.parametrize("check", check_cases(CHECKS))
def test_the_boot_went_well(check, spec: Spec, facts: Facts) -> None:
    holds(check(spec.boot, facts))
