"""Namespaces, bridges, taps, veths, routes and NAT for VMs that all use 10.0.0.2 (guide: Network Topology)."""

from hornet.network.host_side import HostNet, VMNamespace
from hornet.network.ids import VMIds
from hornet.network.plan import AddressPlan, VMPlan
from hornet.network.pool import NamespacePool

__all__ = ["AddressPlan", "HostNet", "NamespacePool", "VMIds", "VMNamespace", "VMPlan"]
