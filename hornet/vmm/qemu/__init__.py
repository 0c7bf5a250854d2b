"""QEMU's microvm machine: the lane for hosts where KVM can't run Linux, and a lane with KVM."""
