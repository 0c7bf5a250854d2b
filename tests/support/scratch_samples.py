"""Answers of guests that are put through faults, given secrets, or booted with a read-only root: good, then broken."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

from hornet.checks.runtime_secrets import REFUSED, SecretTrial
from hornet.spec.model import Spec
from hornet.vm.probes import ProbeResult, ProbeResults
from tests.support.guest_samples import Mutation

TRIAL = SecretTrial(7, "0123456789abcdef")


def good_scratch_facts(spec: Spec) -> ProbeResults:
    """What a guest that passes every trial would say."""
    well, ill = f"{spec.health.healthy}\n", f"{spec.health.unhealthy}\nbecause\n"
    given = hashlib.sha256(TRIAL.secret.encode()).hexdigest()
    answers = [ProbeResult("health.well", 0, well), ProbeResult("health.again", 0, well)]
    answers += [ProbeResult(f"health.{cause}", 1, ill) for cause in ("ssh", "network", "disk")]
    answers += [ProbeResult(f"secrets.{vm_id}", 1, "no usable secrets\n") for vm_id in REFUSED]
    answers += [
        ProbeResult("secrets.given", 0, f"{given}  -\n"),
        ProbeResult("secrets.left", 1, "ls: /x: No such file\n"),
    ]
    return ProbeResults(answers)


def scratch_mutations(spec: Spec) -> Iterator[Mutation]:
    """Every check of the trials, broken in each way that it looks for."""
    well, ill = f"{spec.health.healthy}\n", f"{spec.health.unhealthy}\n"
    for when in ("well", "again"):
        yield _mutation(f"a well guest is called unhealthy ({when})", "health.well", f"health.{when}", ill, 1)
        yield _mutation(f"healthy with exit code 1 ({when})", "health.well", f"health.{when}", well, 1)
    for cause in ("ssh", "network", "disk"):
        name = f"health.{cause}"
        yield _mutation(f"healthy in spite of {cause}", name, name, well, 0)
        yield _mutation(f"unhealthy with exit code 0: {cause}", name, name, ill, 0)
        yield _mutation(f"no health check: {cause}", name, name, "sh: not found\n", 127)
    yield _mutation("another secret", "injection.given", "secrets.given", f"{'0' * 64}  -\n", 0)
    yield _mutation("no secret", "injection.given", "secrets.given", "no usable secrets\n", 1)
    for vm_id in REFUSED:
        yield _mutation(f"started with {vm_id}", "injection.refused", f"secrets.{vm_id}", "started\n", 0)
    yield _mutation("a file is left", "injection.left", "secrets.left", "/tmp/secrets.env\n", 1)
    yield _mutation("a secret was run", "injection.left", "secrets.left", "/hornet-injected\n", 0)


def good_hardened_facts(spec: Spec) -> ProbeResults:
    """What a guest with a read-only root would say."""
    rule = spec.read_only_root
    mounts = "".join(f"tmpfs {path} tmpfs rw 0 0\n" for path in rule.tmpfs)
    answers = [ProbeResult("root.mounts", 0, f"/dev/root / ext4 ro 0 0\n{mounts}")]
    answers += [ProbeResult(f"root.write:{path}", 1, "sh: Read-only file system\n") for path in rule.read_only]
    answers += [ProbeResult(f"root.write:{path}", 0, "") for path in rule.tmpfs]
    return ProbeResults(answers)


def hardened_mutations(spec: Spec) -> Iterator[Mutation]:
    """Every place writable that must not be, and the other way round."""
    for path in spec.read_only_root.read_only:
        probe = f"root.write:{path}"
        yield _mutation(f"{path} is writable", "hardened.read_only", probe, "", 0)
        yield _mutation(f"{path} is full", "hardened.read_only", probe, "No space left on device\n", 1)
    mounts = good_hardened_facts(spec)["root.mounts"].output
    for path in spec.read_only_root.tmpfs:
        yield _mutation(f"{path} is not writable", "hardened.tmpfs", f"root.write:{path}", "Read-only file system\n", 1)
        on_disk = mounts.replace(f"tmpfs {path} tmpfs", f"/dev/vdb {path} ext4")
        yield _mutation(f"{path} is on a disk", "hardened.tmpfs", "root.mounts", on_disk, 0)
        unmounted = mounts.replace(f"tmpfs {path} tmpfs rw 0 0\n", "")
        yield _mutation(f"{path} is the root's", "hardened.tmpfs", "root.mounts", unmounted, 0)


def _mutation(name: str, check: str, probe: str, output: str, exit_code: int) -> Mutation:
    return Mutation(name, frozenset([check]), {probe: output}, {probe: exit_code})
