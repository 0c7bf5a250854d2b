"""The address plan of the specification: [network] in hornetos.toml (guide: Network Topology, IP Addressing Scheme)."""

from __future__ import annotations

import ipaddress
from typing import Annotated

from pydantic import Field, model_validator

from hornet.spec_types import INTERFACE_NAME_BYTES, InterfaceName, Mac, Table


class Network(Table):
    """The address plan (guide: Network Topology, IP Addressing Scheme)."""

    guest_address: ipaddress.IPv4Interface
    gateway_address: ipaddress.IPv4Interface
    dns: list[ipaddress.IPv4Address]
    hostname: str
    uplink_base: ipaddress.IPv4Network
    uplink_prefix_length: Annotated[int, Field(ge=8, le=30)]
    uplink_namespace_host: Annotated[int, Field(ge=1)]
    uplink_host_host: Annotated[int, Field(ge=1)]
    max_vm_id: Annotated[int, Field(ge=1)]
    namespace_name: str
    bridge_name: InterfaceName
    tap_name: InterfaceName
    namespace_veth_name: str
    host_veth_name: str
    guest_interface: str
    uplink_name: InterfaceName
    interface_group: Annotated[int, Field(ge=1, lt=1 << 31)]
    host_tcp_ports: list[Annotated[int, Field(ge=1, le=65535)]]
    gateway_mac: Mac
    guest_mac: Mac
    egress_url: Annotated[str, Field(pattern=r"^https?://")]
    host_veth_mac: Mac
    namespace_veth_mac: Mac

    @model_validator(mode="after")
    def _consistent(self) -> Network:
        if self.guest_address.network != self.gateway_address.network:
            raise ValueError(
                f"guest_address {self.guest_address} and gateway_address {self.gateway_address} must be in one network"
            )
        for key in ("namespace_name", "namespace_veth_name", "host_veth_name"):
            if getattr(self, key).count("{n}") != 1:
                raise ValueError(f"{key} must contain {{n}}, the VM id, once")
        for key in ("namespace_veth_name", "host_veth_name"):
            longest = getattr(self, key).format(n=self.max_vm_id)
            if len(longest.encode()) > INTERFACE_NAME_BYTES:
                raise ValueError(f"{key}: {longest!r} is longer than the kernel's limit of {INTERFACE_NAME_BYTES}")
        if self.bridge_name == self.tap_name:
            raise ValueError("bridge_name and tap_name must differ")
        return self

    @model_validator(mode="after")
    def _subnets_fit(self) -> Network:
        bits = self.uplink_prefix_length - self.uplink_base.prefixlen
        if bits < 1 or self.max_vm_id >= 1 << bits:
            raise ValueError(
                f"uplink_base {self.uplink_base} has {1 << max(bits, 0)} subnets of /{self.uplink_prefix_length}, "
                f"VM ids 1 … {self.max_vm_id} need one more than their number: subnet 0 is no VM's"
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
