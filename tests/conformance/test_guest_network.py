"""The guest's own network, identical in every VM (guide: VM Internal Network Configuration)."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from hornet.checks import guest_network
from hornet.spec.model import Spec
from hornet.spec.network import Network
from hornet.vm.probes import ProbeResults
from hornet_fixtures.assertions import assert_no_problems
from hornet_fixtures.requirement_markers import check_cases

pytestmark = pytest.mark.conformance

# Each check with the statements that it proves.
CHECKS = {
    guest_network.address_problems: ["guest-address", "address-guest", "same-address"],
    guest_network.mac_problems: ["portable-snapshots"],
    guest_network.route_problems: ["guest-gateway"],
    guest_network.dns_problems: ["guest-dns"],
    guest_network.hostname_problems: [],
    guest_network.gateway_problems: ["gateway-fixed"],
}


@pytest.mark.parametrize("check", check_cases(CHECKS))
def test_the_network_is_as_specified(
    check: Callable[[Network, ProbeResults], list[str]], spec: Spec, facts: ProbeResults
) -> None:
    assert_no_problems(check(spec.network, facts))
