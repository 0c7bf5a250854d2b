"""Whether a host can run the suite, judged by its facts and its lanes (hornet.host)."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hornet.checks.check import check
from hornet.host.conditions import ARCHITECTURE, IN_MEMORY
from hornet.vm.lanes import LaneState


@check("host")
def host_problems(facts: Mapping[str, Any], lanes: Sequence[LaneState], required_tools: Collection[str]) -> list[str]:
    """What prevents this host from building, booting and judging. facts: from hornet.host.host_facts()."""
    missing = [name for name in required_tools if facts["tools"][name] is None]
    problems = [f"{name}: not on PATH, expected package {facts['packages'][name]}" for name in missing]
    if not facts["root"]:
        problems.append("not running as root: namespaces, taps and mounts can't be created; use sudo")
    elif not facts["cap_net_admin"]:
        problems.append("root without CAP_NET_ADMIN: the network can't be changed; give the container this capability")
    if not facts["tun"]:
        problems.append("/dev/net/tun: missing, expected the tun device; modprobe tun")
    if facts["architecture"] != ARCHITECTURE:
        problems.append(f"this machine is {facts['architecture']}, expected {ARCHITECTURE}: the suite is x86-64 only")
    if facts["root"] and facts["forwarding"] != "works":
        problems.append(f"{facts['forwarding']}; start the container with --sysctl net.ipv4.ip_forward=1")
    if all(state.usable is False for state in lanes):
        problems.append("no lane works: " + "; ".join(f"{state.lane}: {state.reason}" for state in lanes))
    return problems


def host_remarks(facts: Mapping[str, Any], lanes: Sequence[LaneState]) -> list[str]:
    """What works here, but slower or with weaker results than on other hosts."""
    remarks = []
    if facts.get("emulated_cpu"):
        remarks.append("QEMU emulates this processor, as in the lab: times and densities are shown, but never judged")
    elif not any(state.usable and state.judges_time for state in lanes):
        remarks.append("no KVM lane is known to work: times and densities are measured and shown, but not judged")
    if not facts["reflink"]:
        remarks.append("the file system has no reflinks: each VM's disk is a sparse copy; btrfs and xfs have them")
    if facts["home_file_system"] in IN_MEMORY:
        remarks.append(f"HORNET_HOME is in memory ({facts['home_file_system']}): a cold restore is not judged there")
    if facts["swap_mb"]:
        remarks.append(
            f"swap is on ({facts['swap_mb']} MB): times vary when VMs are swapped; their memory counts all the same"
        )
    if facts["ksm"]:
        remarks.append("KSM merges equal pages of VMs: densities and private memory look better than without it")
    if facts["tsc_mhz"] is None:
        remarks.append("the time stamp counter cannot be measured: clocks of emulated guests may run too fast or slow")
    if facts["loop_devices"] != "work":
        remarks.append(
            f"no loop devices ({facts['loop_devices']}): the suite's own tests of mounted images are skipped"
        )
    if facts["cgroup"] == 1:
        remarks.append("cgroup v1: creating many VMs is slower than with v2")
    return remarks


@dataclass(frozen=True)
class Ability:
    """What some commands do, and what they need on the host. builds: they need packages that only apt can fetch."""

    title: str
    commands: tuple[str, ...]
    tools: tuple[str, ...] = ()
    root: bool = False
    builds: bool = False


ABILITIES = (
    Ability("read runs", ("report", "gate", "capacity", "records")),
    Ability("judge files", ("kconfig", "ext4"), ("bwrap", "e2fsck")),
    Ability("run VMs", ("validate", "new-version", "pytest --snapshot"), ("bwrap", "e2fsck", "ip", "nft"), root=True),
    Ability("build", ("build", "run"), ("mmdebstrap", "mkfs.ext4", "gcc", "make"), root=True, builds=True),
)


def host_abilities(facts: Mapping[str, Any]) -> dict[str, str]:
    """By ability, why this host lacks it; "" if it has it."""
    return {f"{ability.title} ({', '.join(ability.commands)})": _obstacle(ability, facts) for ability in ABILITIES}


def _obstacle(ability: Ability, facts: Mapping[str, Any]) -> str:
    if ability.builds and not facts["apt"]:
        return "needs apt, which this distribution does not have: use Debian 12 or newer, or Ubuntu 24.04 or newer"
    missing = [f"{name} ({facts['packages'][name]})" for name in ability.tools if facts["tools"][name] is None]
    if missing:
        return f"missing on PATH, with the Debian package of each: {', '.join(missing)}"
    return "needs root: use sudo" if ability.root and not facts["root"] else ""
