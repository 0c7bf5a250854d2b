"""The guest booted correctly: no bad line in its log, no stall, every service running, no swap."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from hornet.checks.compressed_usr import guest_problems
from hornet.spec.model import Spec
from hornet.spec.rules import Boot
from hornet.vm.probes import ProbeResults
from hornet_fixtures.assertions import assert_no_problems
from hornet_fixtures.requirement_markers import check_cases

pytestmark = pytest.mark.conformance


@pytest.mark.parametrize("check", check_cases("boot"))
def test_guest_booted_correctly(
    check: Callable[[Boot, ProbeResults], list[str]], spec: Spec, facts: ProbeResults
) -> None:
    assert_no_problems(check(spec.boot, facts))


@pytest.mark.requirement("usr-layers")
def test_compressed_usr_is_mounted_and_can_be_changed(facts: ProbeResults) -> None:
    assert_no_problems(guest_problems(facts))
