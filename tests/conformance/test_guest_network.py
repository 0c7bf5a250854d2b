"""The guest's own network, identical in every VM (guide: VM Internal Network Configuration)."""

from __future__ import annotations

import pytest

from hornet.checks import guest_network
from hornet.facts import Facts
from hornet.spec import Spec
from hornet_fixtures.guide import check_cases
from hornet_fixtures.judging import holds

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
def test_the_network_is_as_specified(check, spec: Spec, facts: Facts) -> None:
    holds(check(spec.network, facts))
