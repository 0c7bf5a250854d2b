"""The init of a tier (guide: HornetOS Tiers): the guest was booted by the init that the guide's table names."""

from __future__ import annotations

import re

from hornet.checks.check import Subject, check
from hornet.spec.tiers import Init
from hornet.vm.probes import Probe, ProbeResults


def init_probes(name: str, init: Init) -> list[Probe]:
    """The probe for traces of this init in a running guest."""
    return [Probe(f"init.{name}", init.script)]


@check("init.{}", Subject.GUEST, each=lambda spec: {name: (name, init) for name, init in spec.inits.items()})
def init_problems(name: str, init: Init, facts: ProbeResults) -> list[str]:
    """A guest that was booted by another init."""
    answer = facts[f"init.{name}"]
    if answer.ok and re.search(init.pattern, answer.output, re.MULTILINE):
        return []
    return [f"init: expected {init.title}: `{init.script}` to print {init.pattern!r}, found {answer}"]
