"""No VM reaches anything forbidden by any path (guide: Design Philosophy). Each path is tried."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from hornet.spec.model import Spec
from hornet_fixtures.assertions import assert_no_problems
from hornet_fixtures.network import isolation
from hornet_fixtures.network.lab import Lab

pytestmark = [pytest.mark.network, pytest.mark.requirement("tenants-isolated")]

WAYS = [
    isolation.other_vms_by_routes,
    isolation.other_guests,
    isolation.services_of_the_host,
    isolation.vms_from_outside,
    isolation.spoofed_sources,
    isolation.untranslated_segments,
    isolation.spoofing_namespace,
    isolation.neighbours_by_broadcast,
    isolation.around_by_ipv6,
]


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_vm_cannot_reach(way: Callable[[Lab], list[str]], lab: Lab) -> None:
    assert_no_problems(way(lab))


def test_vm_cannot_reach_secrets_of_others(lab: Lab, spec: Spec) -> None:
    assert_no_problems(isolation.secrets_of_others(lab, spec.secrets.port))
