"""The address plan, for every id; and what the spec and the host refuse."""

from __future__ import annotations

from ipaddress import IPv4Network
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from hornet.errors import NetworkError
from hornet.network.plan import AddressPlan, Taken, overlaps
from hornet.spec.model import load_spec
from hornet.spec.network import Network
from hornet.spec.types import INTERFACE_NAME_BYTES

NETWORK = load_spec().network
PLAN = AddressPlan(NETWORK)
ids = st.integers(1, NETWORK.max_vm_id)


def changed(**values: Any) -> Network:
    """The spec's network with other values, validated."""
    return Network.model_validate({**NETWORK.model_dump(), **values})


@pytest.mark.requirement("address-formula", "address-host-veth", "address-namespace-veth")
def test_plan_follows_the_guides_formula() -> None:
    for n in range(1, 256):
        plan = PLAN.for_vm(n)
        assert str(plan.subnet) == f"10.0.{n}.0/24"
        assert str(plan.host_address) == f"10.0.{n}.254/24"
        assert str(plan.namespace_address) == f"10.0.{n}.1/24"
        assert (plan.namespace, plan.namespace_veth, plan.host_veth) == (f"vm{n}", f"veth-vm{n}", f"veth-vm{n}-br")


@pytest.mark.requirement("tier-scale")
def test_plan_continues_beyond_the_guides_formula() -> None:
    assert str(PLAN.for_vm(256).subnet) == "10.1.0.0/24"
    assert str(PLAN.for_vm(1000).subnet) == "10.3.232.0/24"
    assert str(PLAN.for_vm(PLAN.largest_id).subnet) == "10.255.255.0/24"


@given(ids)
def test_each_network_plan_is_valid(n: int) -> None:
    plan = PLAN.for_vm(n)
    assert plan.subnet.subnet_of(NETWORK.uplink_base)
    assert not plan.subnet.overlaps(NETWORK.guest_address.network)
    assert plan.host_address.network == plan.namespace_address.network == plan.subnet
    assert plan.host_address != plan.namespace_address
    for name in (plan.namespace_veth, plan.host_veth, NETWORK.bridge_name, NETWORK.tap_name):
        assert 0 < len(name.encode()) <= INTERFACE_NAME_BYTES
    assert PLAN.vm_id(plan.namespace) == n


@given(st.lists(ids, min_size=2, max_size=50, unique=True))
def test_network_plans_never_overlap(chosen: list[int]) -> None:
    plans = [PLAN.for_vm(n) for n in chosen]
    for attribute in ("namespace", "namespace_veth", "host_veth", "subnet", "host_address", "namespace_address"):
        assert len({getattr(plan, attribute) for plan in plans}) == len(plans)
    by_place = sorted(plans, key=lambda plan: plan.subnet)
    assert not any(one.subnet.overlaps(two.subnet) for one, two in pairwise(by_place))
    names = {plan.host_veth for plan in plans} | {plan.namespace_veth for plan in plans}
    assert len(names) == 2 * len(plans)


@pytest.mark.parametrize("n", [0, -1, NETWORK.max_vm_id + 1])
def test_id_out_of_range_is_rejected(n: int) -> None:
    with pytest.raises(NetworkError, match=f"VM id {n}: expected 1 … {NETWORK.max_vm_id}"):
        PLAN.for_vm(n)


@pytest.mark.parametrize("name", ["vm0", "vm01", "vm65536", "vm", "vm1x", "xvm1", "vm-1", "vm１"])
def test_foreign_names_are_not_vms(name: str) -> None:
    assert PLAN.vm_id(name) is None


@given(ids, st.integers(1, 32), st.integers(0, (1 << 32) - 1))
def test_overlaps_are_found_exactly(n: int, length: int, address: int) -> None:
    plan = PLAN.for_vm(n)
    network = IPv4Network((address, length), strict=False)
    inside = network.subnet_of(plan.subnet) or plan.subnet.subnet_of(network)
    assert bool(overlaps(plan, [Taken(network, "the route")])) == inside


def test_an_overlap_is_named() -> None:
    taken = [Taken(IPv4Network("10.0.0.0/22"), "the route 10.0.0.0/22 dev wg0")]
    assert overlaps(PLAN.for_vm(3), taken) == ["veth-vm3-br: 10.0.3.0/24 overlaps the route 10.0.0.0/22 dev wg0"]
    assert overlaps(PLAN.for_vm(4), taken) == []


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"host_veth_name": "veth-vm{n}-bridge"}, "longer than the kernel's limit of 15"),
        ({"namespace_veth_name": "namespace-vm{n}"}, "longer than the kernel's limit of 15"),
        ({"namespace_name": "vm"}, "must contain {n}"),
        ({"bridge_name": "a-bridge-with-a-long-name"}, "at most 15"),
        ({"bridge_name": "br/vm"}, "bridge_name"),
        ({"bridge_name": "tap0"}, "must differ"),
        ({"max_vm_id": 65536}, "has 65536 subnets of /24"),
        ({"uplink_base": "10.0.0.0/16"}, "has 256 subnets of /24"),
        ({"uplink_base": "10.0.0.0/24", "max_vm_id": 1}, "has 1 subnets of /24"),
        ({"uplink_host_host": 1}, "must be two of 1 … 254"),
        ({"uplink_host_host": 255}, "must be two of 1 … 254"),
        ({"guest_address": "10.0.1.2/24", "gateway_address": "10.0.1.1/24"}, "must end before VM 1's"),
        ({"guest_address": "10.0.0.2/16", "gateway_address": "10.0.0.1/16"}, "must end before VM 1's"),
        ({"host_tcp_ports": [0]}, "host_tcp_ports"),
        ({"interface_group": 0}, "interface_group"),
    ],
)
def test_impossible_network_plan_is_rejected(values: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError) as caught:
        changed(**values)
    assert said in str(caught.value)


def test_guests_may_have_a_network_elsewhere() -> None:
    assert changed(guest_address="192.168.7.2/24", gateway_address="192.168.7.1/24")
