"""What the kernel's configuration promises works in the guest (guide: Phase 3): used, not only looked up."""

from __future__ import annotations

import base64
import shlex
from collections.abc import Mapping

from hornet.spec.rules import Promise
from hornet.vm.probes import Probe, ProbeResults

# In memory, wherever the image's root is writable or not.
PROGRAMS = "/tmp/hornet-programs"


def promise_probes(promises: Mapping[str, Promise], programs: Mapping[str, bytes]) -> list[Probe]:
    """Bring the programs into the guest, use every feature, take the programs away again."""
    unpack = [f"mkdir -p {PROGRAMS}"]
    for name, content in programs.items():
        path = shlex.quote(f"{PROGRAMS}/{name}")
        unpack += [f"echo {base64.b64encode(content).decode()} | base64 -d >{path}", f"chmod 755 {path}"]
    script = f"set -e; export HORNET_PROGRAMS={PROGRAMS}\n"
    return [
        Probe("promise.programs", "\n".join(["set -e", *unpack])),
        *(Probe(f"promise.{name}", script + promise.use) for name, promise in promises.items()),
        Probe("promise.tidy", f"rm -r {PROGRAMS}"),
    ]


def promise_problems(name: str, promise: Promise, facts: ProbeResults) -> list[str]:
    """A feature that the configuration has and that does not work."""
    answer = facts[f"promise.{name}"]
    if answer.ok:
        return []
    symbols = ", ".join(f"CONFIG_{symbol}" for symbol in promise.symbols)
    return [f"{symbols}: not so in this guest: {promise.title} ({answer})"]
