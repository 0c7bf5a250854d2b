"""QEMU's microvm machine: the lane for hosts without a KVM that runs Linux, and under KVM too."""
