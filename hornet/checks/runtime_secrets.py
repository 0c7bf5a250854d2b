"""Secrets at run time (guide: Phase 4, Runtime Secrets Injection): a program gets them, no disk ever holds them."""

from __future__ import annotations

import hashlib
import json
import mmap
from dataclasses import dataclass
from pathlib import Path

from hornet.checks.check import Subject, check
from hornet.spec.rules import Secrets
from hornet.vm.probes import Probe, ProbeResults

NAME = "HORNET_PROBE_SECRET"
# A file that a secret makes if something runs it.
CANARY = "/hornet-injected"
# Where a program's traces might be: everything that is neither a program nor the kernel's.
PLACES = "/tmp /run /var /root /home /etc"


@dataclass(frozen=True)
class SecretTrial:
    """A made-up secret for one VM. nonce: the part that is looked for afterwards."""

    vm_id: int
    nonce: str

    @property
    def secret(self) -> str:
        """With everything in it that a careless shell would stumble over or run."""
        return f"{self.nonce} 'single' \"double\" $(touch {CANARY}) `id` $HOME \\ ; é\nsecond line"

    def pages(self, secrets: Secrets) -> dict[str, str]:
        """What the gateway serves: this VM's secrets, nothing for others, and for two what can't be used."""
        return {
            secrets.path.format(vm_id=self.vm_id): json.dumps({NAME: self.secret}),
            secrets.path.format(vm_id="list"): json.dumps([self.secret]),
            secrets.path.format(vm_id="name"): json.dumps({f"A=1; touch {CANARY}; B": self.secret}),
        }


# VMs that have no page, and pages that are not an object of names and values.
REFUSED = ("nobody", "list", "name")


def injection_probes(secrets: Secrets, trial: SecretTrial) -> list[Probe]:
    """Run a program with this VM's secrets, and with those of VMs that have none that can be used."""
    show = f"{secrets.command} {trial.vm_id} sh -c 'printf %s \"${NAME}\" | sha256sum'"
    refused = [Probe(f"secrets.{vm_id}", f"{secrets.command} {vm_id} echo started", timeout_s=30) for vm_id in REFUSED]
    left = Probe(
        "secrets.left", f"sync; find {PLACES} -xdev -type f -exec grep -lF {trial.nonce} {{}} +; ls -d {CANARY}"
    )
    return [Probe("secrets.given", show, timeout_s=30), *refused, left]


@check("injection.given", Subject.SECRET_TRIAL, proves=["secrets-injected"])
def given_problems(trial: SecretTrial, facts: ProbeResults) -> list[str]:
    """A program that did not get its secret exactly as it was served."""
    answer = facts["secrets.given"]
    expected = hashlib.sha256(trial.secret.encode()).hexdigest()
    if answer.ok and answer.output.split()[:1] == [expected]:
        return []
    return [f"a program run with secrets did not get them as served: {answer}"]


@check("injection.refused", Subject.SECRET_TRIAL, proves=["secrets-injected"])
def refused_problems(trial: SecretTrial, facts: ProbeResults) -> list[str]:
    """A program that was started although its VM has no secrets, or none that can be used."""
    answers = [facts[f"secrets.{vm_id}"] for vm_id in REFUSED]
    return [f"a program ran without usable secrets: {answer}" for answer in answers if answer.ok]


@check("injection.left", Subject.SECRET_TRIAL, proves=["secrets-injected"])
def left_problems(trial: SecretTrial, facts: ProbeResults) -> list[str]:
    """Files that hold the secret afterwards, or that it made by being run instead of read."""
    found = [line for line in facts["secrets.left"].output.split("\n") if line.startswith("/")]
    return [f"{path}: left behind by secrets" for path in found]


@check("secrets_on_disk")
def disk_problems(trial: SecretTrial, disk: Path) -> list[str]:
    """The secret anywhere on the VM's disk, in files, deleted files or the journal."""
    with disk.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as data:
        found = data.find(trial.nonce.encode())
    return [] if found < 0 else [f"{disk.name}: the secret is on the disk, at byte {found}"]
