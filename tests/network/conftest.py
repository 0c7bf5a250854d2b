"""The host of these tests, with its VMs, fake guests and the test Internet."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from hornet.host.workspace import Workspace
from hornet.network import HostNet, VMIds, VMNamespace
from hornet.spec.model import Spec
from hornet_fixtures.network.lab import FakeGuest, Internet, Lab, attach

STAND_INS = 3


# Not for the session: what is measured after these tests must not share the host with a hundred networks.
@pytest.fixture(scope="package")
def vms(
    pytestconfig: pytest.Config, spec: Spec, workspace: Workspace, host_net: HostNet
) -> Iterator[list[VMNamespace]]:
    """--network-scale VMs at once."""
    ids = VMIds(workspace, spec.network.max_vm_id)
    count = max(STAND_INS, pytestconfig.getoption("network_scale"))
    made = host_net.create_many([ids.take() for _ in range(count)])
    yield made
    host_net.remove_many(made)


@pytest.fixture(scope="package")
def guests(vms: list[VMNamespace]) -> Iterator[list[FakeGuest]]:
    """Fake guests in the first few VMs."""
    made = [attach(vm) for vm in vms[:STAND_INS]]
    yield made
    for guest in made:
        guest.remove()


@pytest.fixture(scope="package")
def internet(pytestconfig: pytest.Config, host_net: HostNet) -> Iterator[Internet]:
    """The test Internet. It needs a private host, because the machine's own uplink leads elsewhere."""
    if pytestconfig.getoption("host_network"):
        pytest.skip("not judged: with --host-network the uplink leads to the real Internet, where nothing is tried")
    with Internet(host_net) as made:
        yield made


@pytest.fixture(scope="package")
def lab(host_net: HostNet, internet: Internet, guests: list[FakeGuest]) -> Lab:
    """Two of the guests, as attacker and victim."""
    return Lab(host_net, internet, *guests[:2])
