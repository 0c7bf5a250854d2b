"""Secrets at run time (guide: Phase 4, Runtime Secrets Injection): a program gets them, and no disk stores them."""

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
# A file that the secret creates if a shell executes it.
CANARY = "/hornet-injected"
# Where a program may leave traces: everything except programs and the kernel's file systems.
PLACES = "/tmp /run /var /root /home /etc"


@dataclass(frozen=True)
class SecretTrial:
    """A made-up secret for one VM. nonce: the part that is searched for afterwards."""

    vm_id: int
    nonce: str

    @property
    def secret(self) -> str:
        """The secret, with every character that a careless shell would misread or execute."""
        return f"{self.nonce} 'single' \"double\" $(touch {CANARY}) `id` $HOME \\ ; é\nsecond line"

    def pages(self, secrets: Secrets) -> dict[str, str]:
        """What the gateway serves by path: this VM's secrets, and two unusable pages. Other VMs have no page."""
        return {
            secrets.path.format(vm_id=self.vm_id): json.dumps({NAME: self.secret}),
            secrets.path.format(vm_id="list"): json.dumps([self.secret]),
            secrets.path.format(vm_id="name"): json.dumps({f"A=1; touch {CANARY}; B": self.secret}),
        }


# A VM without a page, and two whose page is not an object of names and values.
REFUSED = ("nobody", "list", "name")


def injection_probes(secrets: Secrets, trial: SecretTrial) -> list[Probe]:
    """Run a program with this VM's secrets, and with those of VMs that have no usable secrets."""
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
    return [f"a program run with secrets did not get the served values: {answer}"]


@check("injection.refused", Subject.SECRET_TRIAL, proves=["secrets-injected"])
def refused_problems(trial: SecretTrial, facts: ProbeResults) -> list[str]:
    """A program that was started although its VM has no usable secrets."""
    answers = [facts[f"secrets.{vm_id}"] for vm_id in REFUSED]
    return [f"a program ran without usable secrets: {answer}" for answer in answers if answer.ok]


@check("injection.left", Subject.SECRET_TRIAL, proves=["secrets-injected"])
def left_problems(trial: SecretTrial, facts: ProbeResults) -> list[str]:
    """Files that still contain the secret, or that it created because a shell executed it."""
    found = [line for line in facts["secrets.left"].output.split("\n") if line.startswith("/")]
    return [f"{path}: left behind by secrets" for path in found]


@check("secrets_on_disk")
def disk_problems(trial: SecretTrial, disk: Path) -> list[str]:
    """The secret anywhere on the VM's disk: in files, deleted files or the journal."""
    with disk.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as data:
        found = data.find(trial.nonce.encode())
    return [] if found < 0 else [f"{disk.name}: the secret is on the disk, at byte {found}"]
