"""What a restore must preserve and what it must renew, judged on several clones of one snapshot.

A hazard consists of a function here with @hazard, which tests/conformance/test_hazards.py runs by its name, and of a
mutation in tests/support/lineage_samples.py. A hazard that needs another fact about each clone adds a probe to
hazard_probes().
"""

from __future__ import annotations

import mmap
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from hornet.checks.check import Function, Subject, check
from hornet.checks.first_packets import first_packet_problems
from hornet.spec.model import Spec
from hornet.spec.snapshots import Hazards
from hornet.vm.agent import DISK_FILE, AgentSample, TimedSample
from hornet.vm.probes import Probe, ProbeResults

PARENT = "the parent"
# A line of DISK_FILE: the agent's count.
COUNT = r"^([0-9]{1,15})$"


@dataclass(frozen=True)
class ParentFacts:
    """A VM before its snapshot. before: a sample of its agent; canary: a secret that it used and then removed.

    paused_s: a time at which it was certainly paused, in seconds since 1970.
    """

    nonce: str
    canary: str
    before: TimedSample
    paused_s: float
    facts: ProbeResults
    host_key: str


@dataclass(frozen=True)
class CloneFacts:
    """A clone of the snapshot.

    first: the agent's sample as soon as the clone ran; it was requested before that. later: a sample some time later.
    resumed_s: when the clone was resumed, in seconds since 1970. frames: the first frames that its network card sent.
    reconnected_s: how long its agent took to connect again, None if it never did.
    """

    name: str
    first: TimedSample
    later: TimedSample
    resumed_s: float
    frames: list[bytes]
    reconnected_s: float | None
    facts: ProbeResults
    host_key: str
    console: str


@dataclass(frozen=True)
class LineageFacts:
    """A snapshot and its clones: everything that hazards are judged on. files: those of the snapshot."""

    parent: ParentFacts
    clones: Sequence[CloneFacts]
    files: Sequence[Path]

    def drawn(self, name: str) -> dict[str, str]:
        """By VM, a random value that the agent drew: a clone's as soon as it ran, the parent's before the snapshot."""
        values = {clone.name: str(getattr(clone.first.seen, name)) for clone in self.clones}
        return {PARENT: str(getattr(self.parent.before.seen, name)), **values}

    def printed(self, probe: str) -> dict[str, str]:
        """By VM, the output of a probe."""
        return {PARENT: self.parent.facts[probe].output, **{it.name: it.facts[probe].output for it in self.clones}}


def hazard_probes(hazards: Hazards) -> list[Probe]:
    """Probes that run in the parent and in each clone. A value that must differ is the whole output of its probe."""
    seeds = " ".join(hazards.seed_files)
    return [
        Probe("hazard.boot_id", "cat /proc/sys/kernel/random/boot_id"),
        Probe("hazard.machine_id", "cat /etc/machine-id"),
        Probe("hazard.urandom", "head -c 16 /dev/urandom | od -An -tx1"),
        # The C library generates such a name with getrandom(2).
        Probe("hazard.getrandom", "mktemp -u /XXXXXX; mktemp -u /XXXXXX"),
        Probe("hazard.seeds", f"for f in {seeds}; do if [ -s $f ]; then sha256sum $f; fi; done"),
        Probe("hazard.disk", f"cat {DISK_FILE}"),
        Probe("hazard.secret_used", "echo ${SECRET_USED-}"),
    ]


@check("distinct")
def distinct_problems(what: str, values: Mapping[str, str]) -> list[str]:
    """Values that two VMs share, or that are missing. values: by VM."""
    problems = [f"{what}: missing in {vm}" for vm, value in values.items() if not value.strip()]
    by_value: dict[str, list[str]] = {}
    for vm, value in values.items():
        if value.strip():
            by_value.setdefault(value.strip(), []).append(vm)
    same = ((value, vms) for value, vms in by_value.items() if len(vms) > 1)
    return problems + [f"{what}: {', '.join(vms)} have the same value, {value[:80]}" for value, vms in same]


@check("clock")
def clock_problems(vm: str, seen: AgentSample, earliest_s: float, latest_s: float, limit_ms: float) -> list[str]:
    """A wall clock outside the interval between two times of the host, with a tolerance of limit_ms."""
    late_ms = max(earliest_s - seen.wall_s, seen.wall_s - latest_s) * 1000
    if late_ms <= limit_ms:
        return []
    direction = "behind" if seen.wall_s < earliest_s else "ahead"
    return [f"{vm}: its clock is {late_ms:.0f} ms {direction}, at most {limit_ms:g} ms allowed"]


@check("monotonic")
def monotonic_problems(
    vm: str, before: TimedSample, after: TimedSample, stood_still_s: float, limit_ms: float
) -> list[str]:
    """A monotonic clock that went backwards, or that advanced while the VM was paused."""
    passed_s = after.seen.monotonic_s - before.seen.monotonic_s
    ran_s = after.got_s - before.asked_s - stood_still_s
    if passed_s < 0:
        return [f"{vm}: its monotonic clock went backwards by {-passed_s:.3f} s"]
    if (passed_s - ran_s) * 1000 > limit_ms:
        return [f"{vm}: its monotonic clock advanced by {passed_s:.3f} s, but the guest ran for at most {ran_s:.3f} s"]
    return []


@check("continuity")
def continuity_problems(vm: str, before: AgentSample, first: AgentSample, later: AgentSample) -> list[str]:
    """Signs that the guest did not continue from the snapshot: it rebooted, or it hangs."""
    problems = []
    if first.nonce != before.nonce:
        problems.append(f"{vm}: memory lost: the agent holds {first.nonce!r}, before the snapshot {before.nonce!r}")
    if first.pid != before.pid:
        problems.append(f"{vm}: the agent is process {first.pid}, before the snapshot {before.pid}")
    if first.count < before.count or later.count <= first.count:
        counts = f"{before.count} before the snapshot, {first.count} and {later.count} after"
        problems.append(f"{vm}: the agent stopped counting: {counts}")
    if first.uptime_s < before.uptime_s:
        problems.append(f"{vm}: uptime {first.uptime_s} s, {before.uptime_s} s before the snapshot: it rebooted")
    return problems


@check("connection")
def connection_problems(vm: str, later: AgentSample, reconnected_s: float | None, limit_s: float) -> list[str]:
    """A TCP connection from before the snapshot that was not replaced, or that ended without an error."""
    if reconnected_s is None:
        return [f"{vm}: the connection from before the snapshot still hangs after {limit_s:g} s: no error, no answer"]
    if later.lost is None:
        return [f"{vm}: the connection from before the snapshot ended without an error, so its program can't notice it"]
    return []


@check("counting")
def counting_problems(what: str, text: str, pattern: str, at_least: int) -> list[str]:
    """Numbers in a text (the pattern's only group) that skip or repeat a value, or that end below `at_least`."""
    numbers = [int(number) for number in re.findall(pattern, text, re.MULTILINE)]
    if not numbers or numbers[-1] < at_least:
        return [f"{what}: counts to {numbers[-1] if numbers else 'nothing'}, expected at least {at_least}"]
    return [f"{what}: {b} follows {a}" for a, b in pairwise(numbers) if b != a + 1]


@check("secret")
def secret_problems(files: Sequence[Path], secret: str) -> list[str]:
    """Files in which the secret can still be read."""
    problems = []
    for path in files:
        with path.open("rb") as stream, mmap.mmap(stream.fileno(), 0, prot=mmap.PROT_READ) as content:
            places = [match.start() for match in re.finditer(re.escape(secret.encode()), content)]
        if places:
            problems.append(f"{path.name}: removed secret still there {len(places)} times, at {places[:3]}")
    return problems


def hazard(name: str, proves: Iterable[str] = ()) -> Callable[[Function], Function]:
    """Register a hazard: a check that is given the spec and LineageFacts.

    It proves the requirement `hazard-NAME`, or those in `proves`.
    """
    ids = tuple(proves) or (f"hazard-{name}",)
    return check(f"hazard.{name}", Subject.LINEAGE, given=lambda spec: spec, proves=ids)


# --- Random numbers ---------------------------------------------------------------------------------------------------


@hazard("first_urandom")
def first_urandom_problems(spec: Spec, lineage: LineageFacts) -> list[str]:
    """A program that was running at the snapshot reads /dev/urandom first thing after the restore."""
    return distinct_problems("first 16 bytes of /dev/urandom", lineage.drawn("urandom"))


@hazard("first_openssl_bytes")
def first_openssl_bytes_problems(spec: Spec, lineage: LineageFacts) -> list[str]:
    """The same program asks OpenSSL, which has its own generator and makes the keys of TLS connections with it."""
    return distinct_problems("crypto.randomBytes(16)", lineage.drawn("random_bytes"))


@hazard("first_uuid")
def first_uuid_problems(spec: Spec, lineage: LineageFacts) -> list[str]:
    """The same program asks Node.js for a UUID. Node.js draws random bytes for many UUIDs in advance."""
    return distinct_problems("crypto.randomUUID()", lineage.drawn("uuid"))


@hazard("first_web_uuid")
def first_web_uuid_problems(spec: Spec, lineage: LineageFacts) -> list[str]:
    """The same with the Web Crypto API."""
    return distinct_problems("webcrypto.randomUUID()", lineage.drawn("web_uuid"))


@hazard("later_urandom")
def later_urandom_problems(spec: Spec, lineage: LineageFacts) -> list[str]:
    """A program that starts after the restore reads /dev/urandom."""
    return distinct_problems("urandom", lineage.printed("hazard.urandom"))


@hazard("later_getrandom")
def later_getrandom_problems(spec: Spec, lineage: LineageFacts) -> list[str]:
    """A program that starts after the restore calls getrandom(2)."""
    return distinct_problems("getrandom", lineage.printed("hazard.getrandom"))


@hazard("seed_files")
def seed_file_problems(spec: Spec, lineage: LineageFacts) -> list[str]:
    """Seed files with the same content in two VMs: both would seed their random numbers with it at the next boot."""
    by_file: dict[str, dict[str, str]] = {}
    for vm, text in lineage.printed("hazard.seeds").items():
        for digest, path in re.findall(r"^([0-9a-f]{64})\s+(\S+)$", text, re.MULTILINE):
            by_file.setdefault(path, {})[vm] = digest
    return [problem for path, digests in by_file.items() for problem in distinct_problems(path, digests)]


# --- Identity ---------------------------------------------------------------------------------------------------------


@hazard("boot_id")
def boot_id_problems(spec: Spec, lineage: LineageFacts) -> list[str]:
    """Log servers tell boots apart by the boot ID."""
    return distinct_problems("boot_id", lineage.printed("hazard.boot_id"))


@hazard("machine_id")
def machine_id_problems(spec: Spec, lineage: LineageFacts) -> list[str]:
    """Programs and log servers tell machines apart by the machine ID."""
    return distinct_problems("machine_id", lineage.printed("hazard.machine_id"))


@hazard("ssh_host_key")
def ssh_host_key_problems(spec: Spec, lineage: LineageFacts) -> list[str]:
    """Anyone who has one VM's host key can impersonate every VM with the same key."""
    keys = {PARENT: lineage.parent.host_key, **{clone.name: clone.host_key for clone in lineage.clones}}
    return distinct_problems("SSH host key", keys)


# --- Time -------------------------------------------------------------------------------------------------------------


@hazard("wall_clock")
def wall_clock_problems(spec: Spec, lineage: LineageFacts) -> list[str]:
    """The wall clock stopped with the VM. With a clock a day behind, today's certificates are not valid yet."""
    problems, limit_ms = [], spec.hazards.max_clock_error_ms
    for clone in lineage.clones:
        first, later = clone.first, clone.later
        problems += clock_problems(clone.name, first.seen, clone.resumed_s, first.got_s, limit_ms)
        problems += clock_problems(clone.name, later.seen, later.asked_s, later.got_s, limit_ms)
    return problems


@hazard("monotonic_clock")
def monotonic_clock_problems(spec: Spec, lineage: LineageFacts) -> list[str]:
    """Timers depend on it: it must not go backwards, and must not jump ahead by the time that the VM was paused."""
    problems, parent = [], lineage.parent
    for clone in lineage.clones:
        stood_still_s = clone.resumed_s - parent.paused_s
        limit_ms = spec.hazards.max_clock_error_ms
        problems += monotonic_problems(clone.name, parent.before, clone.first, stood_still_s, limit_ms)
    return problems


# --- Continuity -------------------------------------------------------------------------------------------------------


@hazard("memory", proves=["memory-and-disk-agree"])
def memory_problems(spec: Spec, lineage: LineageFacts) -> list[str]:
    """A program has a number that exists only in its memory, and counts: the guest did not reboot."""
    before = lineage.parent.before.seen
    return [
        problem
        for clone in lineage.clones
        for problem in continuity_problems(clone.name, before, clone.first.seen, clone.later.seen)
    ]


@hazard("synced_data")
def synced_data_problems(spec: Spec, lineage: LineageFacts) -> list[str]:
    """The snapshot was taken while the program wrote to disk: no synced line is missing or torn."""
    synced = lineage.parent.before.seen.synced
    return [
        problem
        for clone in lineage.clones
        for problem in counting_problems(f"{clone.name}: disk", clone.facts["hazard.disk"].output, COUNT, synced)
    ]


@hazard("console")
def console_problems(spec: Spec, lineage: LineageFacts) -> list[str]:
    """The snapshot was taken while the program printed on the serial console."""
    pattern = rf"^agent {lineage.parent.nonce} counts ([0-9]{{1,15}})$"
    count = lineage.parent.before.seen.count
    return [
        problem
        for clone in lineage.clones
        for problem in counting_problems(f"{clone.name}: console", clone.console, pattern, count)
    ]


# --- Network ----------------------------------------------------------------------------------------------------------


@hazard("first_packets")
def first_packets_problems(spec: Spec, lineage: LineageFacts) -> list[str]:
    """The guest still has the gateway's MAC address from before the snapshot, from another VM's network."""
    return [
        problem for clone in lineage.clones for problem in first_packet_problems(clone.name, spec.network, clone.frames)
    ]


@hazard("old_connection")
def old_connection_problems(spec: Spec, lineage: LineageFacts) -> list[str]:
    """The peer of an old TCP connection does not exist for a clone: its program must get an error and reconnect."""
    limit_s = spec.hazards.reconnect_timeout_s
    return [
        problem
        for clone in lineage.clones
        for problem in connection_problems(clone.name, clone.later.seen, clone.reconnected_s, limit_s)
    ]


# --- Secrets ----------------------------------------------------------------------------------------------------------


@hazard("removed_secret", proves=["secrets-injected"])
def removed_secret_problems(spec: Spec, lineage: LineageFacts) -> list[str]:
    """A guest fetched a secret as the guide describes, used it and removed it before the snapshot was taken."""
    used = lineage.parent.facts["hazard.secret_used"].output.strip()
    if used != "0":
        return [f"the guest could not use its secret: exit code {used or 'unknown'}, expected 0"]
    return secret_problems(lineage.files, lineage.parent.canary)
