"""Firecracker as a MicroVM: the lane firecracker/kvm (docs/firecracker.md)."""
