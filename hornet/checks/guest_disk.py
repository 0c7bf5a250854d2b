"""The guest's root file system as its own kernel sees it (guide: The Golden Rule, Error Symptoms of Violation)."""

from __future__ import annotations

from hornet.checks.check import Subject, check
from hornet.formats.ext4.symptoms import log_symptoms
from hornet.vm.probes import Probe, ProbeResults


def disk_probes() -> list[Probe]:
    """What the kernel says, after every directory was listed and every file's inode looked at."""
    return [Probe("disk.walk", "find / -xdev -size 0 >/dev/null", 60), Probe("disk.log", "dmesg")]


@check("disk.walk", Subject.GUEST, proves=["corruption-symptoms"])
def walk_problems(facts: ProbeResults) -> list[str]:
    """Files that can't be looked at."""
    walk = facts["disk.walk"]
    return [] if walk.ok else [f"a walk over all files failed: {walk}"]


@check("disk.log", Subject.GUEST, proves=["corruption-symptoms"])
def log_problems(facts: ProbeResults) -> list[str]:
    """Damage in the log of the guest's kernel."""
    log = facts["disk.log"]
    if not log.ok:
        return [f"the kernel's log can't be read: {log}"]
    return [str(finding) for finding in log_symptoms(log.output)]
