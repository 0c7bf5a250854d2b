"""The host that the tests of this directory stand on, with its VMs, stand-in guests and the test Internet."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from hornet.host.workspace import Workspace
from hornet.network import HostNet, VMIds, VMNamespace
from hornet.spec.model import Spec
from tests.support.network_lab import FakeGuest, Internet, Lab, attach

STAND_INS = 3


@pytest.fixture(scope="session")
def vms(
    pytestconfig: pytest.Config, spec: Spec, workspace: Workspace, host_net: HostNet
) -> Iterator[list[VMNamespace]]:
    """As many VMs as --network-scale says, all at once."""
    ids = VMIds(workspace, spec.network.max_vm_id)
    count = max(STAND_INS, pytestconfig.getoption("network_scale"))
    made = host_net.create_many([ids.take() for _ in range(count)])
    yield made
    host_net.remove_many(made)


@pytest.fixture(scope="session")
def guests(vms: list[VMNamespace]) -> Iterator[list[FakeGuest]]:
    """Stand-in guests in the first few of them."""
    made = [attach(vm) for vm in vms[:STAND_INS]]
    yield made
    for guest in made:
        guest.remove()


@pytest.fixture(scope="session")
def internet(pytestconfig: pytest.Config, host_net: HostNet) -> Iterator[Internet]:
    """The test Internet. The machine's own uplink leads elsewhere, so it takes a private host."""
    if pytestconfig.getoption("host_network"):
        pytest.skip("not judged: with --host-network the uplink leads to the real Internet, where nothing is tried")
    with Internet(host_net) as made:
        yield made


@pytest.fixture(scope="session")
def lab(host_net: HostNet, internet: Internet, guests: list[FakeGuest]) -> Lab:
    """Two of the guests, as attacker and victim."""
    return Lab(host_net, internet, *guests[:2])
