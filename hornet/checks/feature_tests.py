"""The features that the kernel configuration enables work in the guest (guide: Phase 3): a script uses each one."""

from __future__ import annotations

import base64
import shlex
from collections.abc import Mapping

from hornet.checks.check import Subject, check
from hornet.spec.rules import FeatureTest
from hornet.vm.probes import Probe, ProbeResults

# In memory, so that it works whether the root is writable or not.
PROGRAMS = "/tmp/hornet-programs"


def feature_probes(feature_tests: Mapping[str, FeatureTest], programs: Mapping[str, bytes]) -> list[Probe]:
    """Copy the programs into the guest, use every feature, then remove the programs."""
    unpack = [f"mkdir -p {PROGRAMS}"]
    for name, content in programs.items():
        path = shlex.quote(f"{PROGRAMS}/{name}")
        unpack += [f"echo {base64.b64encode(content).decode()} | base64 -d >{path}", f"chmod 755 {path}"]
    script = f"set -e; export HORNET_PROGRAMS={PROGRAMS}\n"
    return [
        Probe("feature.programs", "\n".join(["set -e", *unpack])),
        *(Probe(f"feature.{name}", script + test.use) for name, test in feature_tests.items()),
        Probe("feature.tidy", f"rm -r {PROGRAMS}"),
    ]


@check(
    "feature.{}",
    Subject.GUEST,
    each=lambda spec: {name: (name, test) for name, test in spec.kernel.feature_tests.items()},
)
def feature_problems(name: str, test: FeatureTest, facts: ProbeResults) -> list[str]:
    """A feature that is enabled in the configuration but does not work."""
    answer = facts[f"feature.{name}"]
    if answer.ok:
        return []
    symbols = ", ".join(f"CONFIG_{symbol}" for symbol in test.symbols)
    return [f"{symbols}: enabled but not working in this guest: {test.title} ({answer})"]
