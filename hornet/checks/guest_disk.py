"""The guest's root file system, as the guest's kernel sees it (guide: The Golden Rule, Error Symptoms of Violation)."""

from __future__ import annotations

from hornet.checks.check import Subject, check
from hornet.formats.ext4.symptoms import log_symptoms
from hornet.vm.probes import Probe, ProbeResults

# A compressed /usr is a mount of its own.
WALK = "find / $(grep -q ' /usr overlay ' /proc/mounts && echo /usr) -xdev -size 0 >/dev/null"


def disk_probes() -> list[Probe]:
    """The kernel log, after a walk that lists every directory and reads every inode."""
    return [Probe("disk.walk", WALK, 60), Probe("disk.log", "dmesg")]


@check("disk.walk", Subject.GUEST, proves=["corruption-symptoms"])
def walk_problems(facts: ProbeResults) -> list[str]:
    """Files whose inode can't be read."""
    walk = facts["disk.walk"]
    return [] if walk.ok else [f"walking all files failed: {walk}"]


@check("disk.log", Subject.GUEST, proves=["corruption-symptoms"])
def log_problems(facts: ProbeResults) -> list[str]:
    """File system corruption that the guest's kernel logged."""
    log = facts["disk.log"]
    if not log.ok:
        return [f"the kernel log can't be read: {log}"]
    return [str(finding) for finding in log_symptoms(log.output)]
