"""A read-only root with tmpfs for writable paths (guide: Phase 4, Read-Only Rootfs), tested with real writes."""

from __future__ import annotations

import shlex

from hornet.checks.check import Subject, check
from hornet.spec.rules import ReadOnlyRoot
from hornet.vm.probes import Probe, ProbeResults

MOUNTS = "root.mounts"
TRIAL = "hornet-probe"


def read_only_probes(rule: ReadOnlyRoot) -> list[Probe]:
    """Try to write to each path, and list the mounts."""
    trials = [_trial(path) for path in [*rule.read_only, *rule.tmpfs]]
    return [Probe(MOUNTS, "cat /proc/mounts"), *trials]


@check("hardened.read_only", Subject.READ_ONLY_GUEST, given=lambda spec: spec.read_only_root, proves=["root-read-only"])
def read_only_problems(rule: ReadOnlyRoot, facts: ProbeResults) -> list[str]:
    """Paths where a file could be created, or where that failed for a reason other than a read-only file system."""
    problems = []
    for path in rule.read_only:
        answer = facts[_name(path)]
        if answer.ok:
            problems.append(f"{path}: a file could be created, expected a read-only file system")
        elif "Read-only file system" not in answer.output:
            problems.append(f"{path}: writing failed, but not with 'Read-only file system' ({answer})")
    return problems


@check("hardened.tmpfs", Subject.READ_ONLY_GUEST, given=lambda spec: spec.read_only_root, proves=["tmpfs-writable"])
def tmpfs_problems(rule: ReadOnlyRoot, facts: ProbeResults) -> list[str]:
    """Paths that must be a writable tmpfs and are not."""
    types = {fields[1]: fields[2] for fields in map(str.split, facts[MOUNTS].output.splitlines()) if len(fields) > 2}
    problems = []
    for path in rule.tmpfs:
        if types.get(path) != "tmpfs":
            problems.append(f"{path}: {types.get(path, 'not a mount point')}, expected a tmpfs")
        elif not facts[_name(path)].ok:
            problems.append(f"{path}: not writable ({facts[_name(path)]})")
    return problems


@check("read_only_disk")
def disk_problems(before_sha256: str, after_sha256: str) -> list[str]:
    """A disk that changed although its root was read-only."""
    if before_sha256 == after_sha256:
        return []
    return [f"the disk changed while its root was read-only: SHA-256 {before_sha256[:12]}…, then {after_sha256[:12]}…"]


def _trial(path: str) -> Probe:
    file = shlex.quote(f"{path.rstrip('/')}/{TRIAL}")
    return Probe(_name(path), f"echo trial >{file} && rm {file}")


def _name(path: str) -> str:
    return f"root.write:{path}"
