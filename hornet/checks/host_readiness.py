"""Whether a host can do the suite's work, judged from its facts and its lanes (hornet.host)."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from hornet.vm.lanes import LaneState


def host_problems(facts: Mapping[str, Any], lanes: Sequence[LaneState], required_tools: Collection[str]) -> list[str]:
    """What keeps this host from building, booting and judging. facts: as hornet.host.host_facts() gives them."""
    missing = [name for name in required_tools if facts["tools"][name] is None]
    problems = [f"{name}: not on PATH, expected package {facts['packages'][name]}" for name in missing]
    if not facts["root"]:
        problems.append("not run as root: namespaces, taps and mounts can't be made; use sudo")
    elif not facts["cap_net_admin"]:
        problems.append("root without CAP_NET_ADMIN: the network can't be changed; give the container this capability")
    if not facts["tun"]:
        problems.append("/dev/net/tun: missing, expected the tun device; modprobe tun")
    if all(state.usable is False for state in lanes):
        problems.append("no lane works: " + "; ".join(f"{state.lane}: {state.reason}" for state in lanes))
    return problems


def host_remarks(facts: Mapping[str, Any], lanes: Sequence[LaneState]) -> list[str]:
    """What works here, but slower or with less to say than elsewhere."""
    remarks = []
    if not any(state.usable and state.judges_time for state in lanes):
        remarks.append("no KVM lane is proved: times and densities are measured and shown, but not judged")
    if not facts["reflink"]:
        remarks.append("the file system has no reflinks: each VM's disk is a sparse copy; btrfs or xfs makes it free")
    if facts["cgroup"] == 1:
        remarks.append("cgroup v1: creating many VMs is slower than with v2")
    return remarks
