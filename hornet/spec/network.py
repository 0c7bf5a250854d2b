"""The address plan of the specification: spec/network.toml (guide: Network Topology, IP Addressing Scheme)."""

from __future__ import annotations

import re
from itertools import combinations
from typing import Annotated

from pydantic import AfterValidator, Field, model_validator

from hornet.spec.types import (
    INTERFACE_NAME_BYTES,
    Address,
    AddressRange,
    HostAddress,
    InterfaceName,
    Mac,
    Port,
    Table,
    Url,
)

# resolv.conf(5), MAXNS: a resolver ignores further name servers.
MAX_NAME_SERVERS = 3
# The prefix of test runs' names in /run/netns (hornet/network/ownership.py). Orphaned ones are removed.
RUN_PREFIX = "hornet-"


def _name_pattern(text: str) -> str:
    if not re.fullmatch(r"([A-Za-z_][A-Za-z0-9._-]{0,60})?\{n\}[A-Za-z0-9._-]{0,60}", text):
        raise ValueError("must contain {n}, the VM id, once, and otherwise only letters, digits and . _ -")
    return text


# These names are inserted into rule sets and paths.
NamePattern = Annotated[str, AfterValidator(_name_pattern)]
# The number of /30 subnets in 10.0.0.0/8.
MAX_VM_ID = 1 << 22


class Network(Table):
    """The address plan (guide: Network Topology, IP Addressing Scheme)."""

    guest_address: HostAddress
    gateway_address: HostAddress
    dns: Annotated[list[Address], Field(max_length=MAX_NAME_SERVERS)]
    hostname: Annotated[str, Field(pattern=r"^[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?$", max_length=63)]
    uplink_base: AddressRange
    uplink_prefix_length: Annotated[int, Field(ge=8, le=30)]
    uplink_namespace_host: Annotated[int, Field(ge=1)]
    uplink_host_host: Annotated[int, Field(ge=1)]
    max_vm_id: Annotated[int, Field(ge=1, le=MAX_VM_ID)]
    namespace_name: NamePattern
    bridge_name: InterfaceName
    tap_name: InterfaceName
    namespace_veth_name: NamePattern
    host_veth_name: NamePattern
    guest_interface: InterfaceName
    uplink_name: InterfaceName
    interface_group: Annotated[int, Field(ge=1, lt=1 << 31)]
    host_tcp_ports: list[Port]
    gateway_mac: Mac
    guest_mac: Mac
    egress_url: Url
    host_veth_mac: Mac
    namespace_veth_mac: Mac

    @model_validator(mode="after")
    def _addresses_fit(self) -> Network:
        if self.guest_address.network != self.gateway_address.network:
            raise ValueError(
                f"guest_address {self.guest_address} and gateway_address {self.gateway_address} must be in one network"
            )
        _all_differ({key: str(getattr(self, key).ip) for key in ("guest_address", "gateway_address")})
        _all_differ({key: getattr(self, key) for key in type(self).model_fields if key.endswith("_mac")})
        if len(set(self.host_tcp_ports)) < len(self.host_tcp_ports):
            raise ValueError(f"host_tcp_ports {self.host_tcp_ports}: duplicate port")
        return self

    @model_validator(mode="after")
    def _names_fit(self) -> Network:
        for key in ("namespace_veth_name", "host_veth_name"):
            longest = getattr(self, key).format(n=self.max_vm_id)
            if len(longest.encode()) > INTERFACE_NAME_BYTES:
                raise ValueError(f"{key}: {longest!r} is longer than the kernel's limit of {INTERFACE_NAME_BYTES}")
        if self.namespace_name.startswith(RUN_PREFIX):
            raise ValueError(
                f"namespace_name {self.namespace_name!r}: the prefix {RUN_PREFIX} is reserved for test runs"
            )
        _all_differ({key: getattr(self, key) for key in ("bridge_name", "tap_name")})
        _all_differ({key: getattr(self, key) for key in ("namespace_veth_name", "host_veth_name")})
        self._check_no_vms_name("bridge_name", "namespace_veth_name")
        self._check_no_vms_name("tap_name", "namespace_veth_name")
        self._check_no_vms_name("uplink_name", "host_veth_name")
        return self

    def _check_no_vms_name(self, key: str, pattern: str) -> None:
        name, names = getattr(self, key), re.escape(getattr(self, pattern)).replace(r"\{n\}", "([1-9][0-9]{0,6})")
        found = re.fullmatch(names, name)
        if found and int(found[1]) <= self.max_vm_id:
            raise ValueError(f"{key} {name!r} is also the {pattern} of VM {found[1]}")

    @model_validator(mode="after")
    def _subnets_fit(self) -> Network:
        bits = self.uplink_prefix_length - self.uplink_base.prefixlen
        if bits < 1 or self.max_vm_id >= 1 << bits:
            raise ValueError(
                f"uplink_base {self.uplink_base} has {1 << max(bits, 0)} subnets of /{self.uplink_prefix_length}, "
                f"VM ids 1 … {self.max_vm_id} need one more than that: subnet 0 is not used for a VM"
            )
        hosts = {self.uplink_namespace_host, self.uplink_host_host}
        last = (1 << (32 - self.uplink_prefix_length)) - 2
        if len(hosts) < 2 or max(hosts) > last:
            raise ValueError(f"uplink_namespace_host and uplink_host_host must be two of 1 … {last}")
        first_vm = int(self.uplink_base.network_address) + (1 << (32 - self.uplink_prefix_length))
        guests = self.guest_address.network
        if guests.overlaps(self.uplink_base) and int(guests.broadcast_address) >= first_vm:
            raise ValueError(
                f"the guests' network {guests} must end before VM 1's, or lie outside of {self.uplink_base}"
            )
        return self


def _all_differ(values: dict[str, str]) -> None:
    for one, other in combinations(values, 2):
        if values[one] == values[other]:
            raise ValueError(f"{one} and {other} are both {values[one]!r}: they must differ")
