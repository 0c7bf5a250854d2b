"""The guide's topology, for each of many VMs at once (guide: Network Architecture)."""

from __future__ import annotations

import pytest

from hornet.host.proc import run
from hornet.network import HostNet, VMNamespace
from hornet.network.reconcile import host_problems, vm_problems
from hornet_fixtures.assertions import assert_no_problems
from hornet_fixtures.network.attacks import CONTROL_S, ping_all, read_banner, tcp_server
from hornet_fixtures.network.lab import FakeGuest

pytestmark = pytest.mark.network


@pytest.mark.requirement(
    "namespace-parts", "host-routes", "address-formula", "address-host-veth", "address-namespace-veth",
    "address-bridge", "gateway-fixed", "tier-scale",

    "trouble-bridge", "trouble-tap", "trouble-namespace", "trouble-nat",
)  # fmt: skip
def test_each_vm_has_the_guides_topology(host_net: HostNet, vms: list[VMNamespace]) -> None:
    assert_no_problems(
        [problem for found in vm_problems(host_net, [vm.vm_id for vm in vms]).values() for problem in found]
    )


@pytest.mark.requirement("host-nat", "trouble-nat")
def test_host_forwards_and_translates(host_net: HostNet, vms: list[VMNamespace]) -> None:
    assert_no_problems(host_problems(host_net))


@pytest.mark.requirement("trouble-namespace")
def test_iproute2_lists_all_namespaces(vms: list[VMNamespace]) -> None:
    listed = run(["ip", "netns", "list"], timeout_s=20).output
    assert_no_problems([f"{vm.name} is not in `ip netns list`" for vm in vms if vm.name not in listed.split()])


@pytest.mark.requirement("same-address", "address-guest")
def test_one_address_is_another_guest_per_namespace(host_net: HostNet, guests: list[FakeGuest]) -> None:
    """With all guests running, 10.0.0.2 of namespace N is guest N, and the host itself has no such neighbour."""
    address, port = str(host_net.network.guest_address.ip), 7007
    with (
        tcp_server(guests[0].run, address, guests[0].name, port),
        tcp_server(guests[1].run, address, guests[1].name, port),
        tcp_server(guests[2].run, address, guests[2].name, port),
    ):
        banners = [guest.vm.run(lambda: read_banner(address, port, CONTROL_S)) for guest in guests]
        assert banners == [guest.name for guest in guests]
        assert host_net.run(lambda: read_banner(address, port, 0.5)) is None


@pytest.mark.requirement("host-routes", "tier-scale")
def test_host_reaches_all_vms_at_once(host_net: HostNet, vms: list[VMNamespace]) -> None:
    """All VMs answer, whatever their number: none is dropped from the kernel's neighbour table."""
    addresses = {str(vm.plan.namespace_address.ip) for vm in vms}
    silent = addresses - host_net.run(lambda: ping_all(addresses))
    assert_no_problems([f"{address} does not answer the host" for address in sorted(silent)])


@pytest.mark.requirement("host-routes")
def test_host_reaches_exactly_vm_n(host_net: HostNet, vms: list[VMNamespace]) -> None:
    """Some VMs report their name at 10.0.N.1. From the host, the address of N returns the name of N."""
    some = [vms[0], vms[len(vms) // 2], vms[-1]]
    for vm in some:
        address = str(vm.plan.namespace_address.ip)
        with tcp_server(vm.run, address, vm.name) as port:
            assert host_net.run(lambda: read_banner(address, port, CONTROL_S)) == vm.name  # noqa: B023
            others = [str(it.plan.namespace_address.ip) for it in some if it is not vm]
            assert [host_net.run(lambda: read_banner(other, port, CONTROL_S)) for other in others] == [None, None]  # noqa: B023
