"""The network with real guests: two identical clones of one snapshot in two namespaces."""

from __future__ import annotations

import secrets
from collections.abc import Iterator

import pytest

from hornet.network import HostNet
from hornet.network.reconcile import vm_problems
from hornet.snapshot import Bundle
from hornet.spec.model import Spec
from hornet.vm.fleet import VM, Fleet
from hornet_fixtures.assertions import assert_no_problems
from hornet_fixtures.network.attacks import tcp_server
from hornet_fixtures.network.lab import SITE_NAME, UPLINK, Internet

pytestmark = pytest.mark.network

TIMEOUT_S = 60
FETCH = "wget -q -T 5 -O - http://{}/"


@pytest.fixture(scope="module")
def clones(fleet: Fleet, bundle: Bundle) -> Iterator[list[VM]]:
    vms = [fleet.restore(bundle) for _ in range(2)]
    yield vms
    for vm in vms:
        fleet.remove(vm)


@pytest.mark.requirement("same-address", "portable-snapshots", "address-guest")
def test_two_clones_run_with_one_address(clones: list[VM], spec: Spec, host_net: HostNet) -> None:
    """Each guest stores its own data, and both have the address 10.0.0.2."""
    words = {vm.name: secrets.token_hex(8) for vm in clones}
    for vm in clones:
        vm.guest.check_output(f"echo {words[vm.name]} >/run/word", TIMEOUT_S)
    for vm in clones:
        answer = vm.guest.check_output("cat /run/word && ip -o -4 addr show dev eth0", TIMEOUT_S)
        assert words[vm.name] in answer
        assert f"inet {spec.network.guest_address} " in answer
    assert_no_problems([it for found in vm_problems(host_net, [vm.vm_id for vm in clones]).values() for it in found])


@pytest.mark.requirement("host-nat", "guest-dns", "tool-network", "sop-validate-network")
def test_guest_reaches_the_internet_by_name(clones: list[VM], internet: Internet) -> None:
    """Name server, both MASQUERADEs and back, with the guest's own resolver and wget."""
    for vm in clones:
        result = vm.guest.run(FETCH.format(SITE_NAME), TIMEOUT_S)
        assert result.stdout == str(UPLINK.ip), result


@pytest.mark.requirement("tenants-isolated")
def test_guest_cannot_reach_the_other(clones: list[VM], host_net: HostNet) -> None:
    """Nor the host's services: the guest's tools try every possible address of the other guest and of the host."""
    a, b = clones
    with tcp_server(b.namespace.run, "0.0.0.0", "HTTP/1.0 200 OK\r\n\r\nb") as port_b, \
         tcp_server(host_net.run, "0.0.0.0", "HTTP/1.0 200 OK\r\n\r\nhost") as port_host:  # fmt: skip
        gateway = f"{host_net.network.gateway_address.ip}:{port_b}"
        assert b.guest.check_output(FETCH.format(gateway), TIMEOUT_S) == "b"
        plans = a.namespace.plan, b.namespace.plan
        targets = [f"{plan.namespace_address.ip}:{port_b}" for plan in plans[1:]]
        targets += [f"{plan.host_address.ip}:{port}" for plan in plans for port in (port_b, port_host)]
        script = "".join(
            f"timeout 1 {FETCH.format(target)} && echo ' from {target}'\n" for target in [gateway, *targets]
        )
        reached = a.guest.run(script, TIMEOUT_S).stdout
        assert_no_problems([f"{a.name} reached {line}" for line in reached.splitlines()])
