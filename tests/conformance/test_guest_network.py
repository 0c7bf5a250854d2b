"""The guest's own network, identical in every VM (guide: VM Internal Network Configuration)."""

from __future__ import annotations

import pytest

from hornet.checks import guest_network
from hornet.facts import Facts
from hornet.spec import Spec
from hornet_fixtures.judging import holds

pytestmark = [pytest.mark.conformance, pytest.mark.guide("VM Internal Network Configuration", "eth0, gateway, DNS")]

CHECKS = [
    guest_network.address_problems,
    guest_network.mac_problems,
    guest_network.route_problems,
    guest_network.dns_problems,
    guest_network.hostname_problems,
    guest_network.gateway_problems,
]


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__.removesuffix("_problems"))
def test_the_network_is_as_specified(check, spec: Spec, facts: Facts) -> None:
    holds(check(spec.network, facts))
