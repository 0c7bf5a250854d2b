"""The health check script (guide: Phase 4, Health Checks): healthy without a fault, unhealthy with each single fault.

The faults are real: no SSH server among the processes that the script sees, the interface down, the disk full. Each
probe undoes its fault, and the guest must be healthy afterwards.
"""

from __future__ import annotations

from hornet.checks.check import Subject, check
from hornet.spec.network import Network
from hornet.spec.rules import Health
from hornet.vm.probes import Probe, ProbeResults

# The SSH server can't be stopped, because the probe itself uses it. Hide it from the script instead.
WITHOUT_SSH = "unshare -m -p -f sh -c 'mount -t proc proc /proc && exec {script}'"
WITHOUT_NETWORK = "ip link set {interface} down; {script}; code=$?; ip link set {interface} up; exit $code"
# root may use the blocks reserved for root too, so this reaches 100 %.
FULL_DISK = "dd if=/dev/zero of=/hornet-fill bs=1M 2>/dev/null; {script}; code=$?; rm /hornet-fill; exit $code"
CAUSES = {"ssh": WITHOUT_SSH, "network": WITHOUT_NETWORK, "disk": FULL_DISK}


def health_probes(health: Health, network: Network) -> list[Probe]:
    """Run the script without a fault, with each fault, and without a fault again. These probes change the guest."""
    values = {"script": health.script, "interface": network.guest_interface}
    ill = [Probe(f"health.{cause}", script.format(**values)) for cause, script in CAUSES.items()]
    return [Probe("health.well", health.script), *ill, Probe("health.again", health.script)]


@check("health.well", Subject.MUTABLE_GUEST, given=lambda spec: spec.health, proves=["health-exit-code"])
def well_problems(health: Health, facts: ProbeResults) -> list[str]:
    """A guest without a fault that is not reported as healthy, before or after the faults."""
    return [
        f"expected {health.healthy!r} and exit code 0 {when} the faults: {facts[name]}"
        for name, when in (("health.well", "before"), ("health.again", "after"))
        if not facts[name].ok or _first_line(facts, name) != health.healthy
    ]


@check("health.ssh", Subject.MUTABLE_GUEST, given=lambda spec: spec.health, proves=["health-ssh", "health-exit-code"])
def ssh_problems(health: Health, facts: ProbeResults) -> list[str]:
    """A guest without an SSH server that is not reported as unhealthy."""
    return _ill_problems(health, facts, "health.ssh", "without an SSH server")


@check("health.network", Subject.MUTABLE_GUEST, given=lambda spec: spec.health, proves=["health-network"])
def network_problems(health: Health, facts: ProbeResults) -> list[str]:
    """A guest whose interface is down that is not reported as unhealthy."""
    return _ill_problems(health, facts, "health.network", "with its interface down")


@check("health.disk", Subject.MUTABLE_GUEST, given=lambda spec: spec.health, proves=["health-disk"])
def disk_problems(health: Health, facts: ProbeResults) -> list[str]:
    """A guest with a full disk that is not reported as unhealthy."""
    return _ill_problems(health, facts, "health.disk", "with a full disk")


def _ill_problems(health: Health, facts: ProbeResults, name: str, how: str) -> list[str]:
    answer = facts[name]
    if answer.exit_code == 1 and _first_line(facts, name) == health.unhealthy:
        return []
    return [f"expected {health.unhealthy!r} and exit code 1 {how}: {answer}"]


def _first_line(facts: ProbeResults, name: str) -> str:
    return facts[name].output.strip().partition("\n")[0]
