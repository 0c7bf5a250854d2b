"""The guest's own network, identical in every VM (guide: VM Internal Network Configuration)."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from hornet.spec.model import Spec
from hornet.spec.network import Network
from hornet.vm.probes import ProbeResults
from hornet_fixtures.assertions import assert_no_problems
from hornet_fixtures.requirement_markers import check_cases

pytestmark = pytest.mark.conformance


@pytest.mark.parametrize("check", check_cases("network"))
def test_guest_network_matches_the_spec(
    check: Callable[[Network, ProbeResults], list[str]], spec: Spec, facts: ProbeResults
) -> None:
    assert_no_problems(check(spec.network, facts))
