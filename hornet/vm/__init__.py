"""A VM with everything it needs: directory, disk, namespace, SSH, probes, snapshots and memory accounting."""
