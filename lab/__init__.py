"""The lab: a host with KVM, emulated by QEMU, in which any command of the suite can run (docs/lab.md)."""
