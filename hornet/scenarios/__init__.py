"""What takes several VMs, or a guest put through a story: lineages of snapshots, agents, secrets, balloon."""
