"""What a restore must preserve and what it must make anew, judged on several clones of one snapshot."""

from __future__ import annotations

import mmap
import re
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path

from hornet.spec.snapshots import Hazards
from hornet.vm.agent import DISK_FILE, AgentSample, TimedSample
from hornet.vm.probes import Probe, ProbeResults


def hazard_probes(hazards: Hazards) -> list[Probe]:
    """What each clone is asked by SSH. Values that must differ stand alone on their line."""
    seeds = " ".join(hazards.seed_files)
    return [
        Probe("hazard.boot_id", "cat /proc/sys/kernel/random/boot_id"),
        Probe("hazard.machine_id", "cat /etc/machine-id"),
        Probe("hazard.urandom", "head -c 16 /dev/urandom | od -An -tx1"),
        # The C library makes such a name from getrandom(2).
        Probe("hazard.getrandom", "mktemp -u /XXXXXX; mktemp -u /XXXXXX"),
        Probe("hazard.seeds", f"for f in {seeds}; do if [ -s $f ]; then sha256sum $f; fi; done"),
        Probe("hazard.disk", f"cat {DISK_FILE}"),
        Probe("hazard.secret_used", "echo ${SECRET_USED-}"),
    ]


def distinct_problems(what: str, values: Mapping[str, str]) -> list[str]:
    """Values, by VM, of which two are equal, or that are missing."""
    problems = [f"{what}: {vm} has none" for vm, value in values.items() if not value.strip()]
    by_value: dict[str, list[str]] = {}
    for vm, value in values.items():
        if value.strip():
            by_value.setdefault(value.strip(), []).append(vm)
    same = ((value, vms) for value, vms in by_value.items() if len(vms) > 1)
    return problems + [f"{what}: {', '.join(vms)} have the same, {value[:80]}" for value, vms in same]


def seed_file_problems(facts_by_vm: Mapping[str, ProbeResults]) -> list[str]:
    """Seed files that two VMs have with the same content: each would start its random numbers from the same seed."""
    by_file: dict[str, dict[str, str]] = {}
    for vm, facts in facts_by_vm.items():
        for digest, path in re.findall(r"^([0-9a-f]{64})\s+(\S+)$", facts["hazard.seeds"].output, re.MULTILINE):
            by_file.setdefault(path, {})[vm] = digest
    return [problem for path, digests in by_file.items() for problem in distinct_problems(path, digests)]


def clock_problems(vm: str, seen: AgentSample, earliest_s: float, latest_s: float, limit_ms: float) -> list[str]:
    """A wall clock that was not between the two moments of the host, give or take the limit."""
    late_ms = max(earliest_s - seen.wall_s, seen.wall_s - latest_s) * 1000
    if late_ms <= limit_ms:
        return []
    direction = "behind" if seen.wall_s < earliest_s else "ahead"
    return [f"{vm}: its clock is {late_ms:.0f} ms {direction}, at most {limit_ms:g} ms allowed"]


def monotonic_problems(
    vm: str, before: TimedSample, after: TimedSample, stood_still_s: float, limit_ms: float
) -> list[str]:
    """A monotonic clock that went back, or on while nothing ran."""
    passed_s = after.seen.monotonic_s - before.seen.monotonic_s
    ran_s = after.got_s - before.asked_s - stood_still_s
    if passed_s < 0:
        return [f"{vm}: its monotonic clock went back by {-passed_s:.3f} s"]
    if (passed_s - ran_s) * 1000 > limit_ms:
        return [f"{vm}: its monotonic clock went on by {passed_s:.3f} s, but the guest ran for {ran_s:.3f} s at most"]
    return []


def continuity_problems(vm: str, before: AgentSample, first: AgentSample, later: AgentSample) -> list[str]:
    """What says that the guest did not go on where it was, but booted again or stands still."""
    problems = []
    if first.nonce != before.nonce:
        problems.append(f"{vm}: memory lost: the agent holds {first.nonce!r}, before the snapshot {before.nonce!r}")
    if first.pid != before.pid:
        problems.append(f"{vm}: the agent is process {first.pid}, before the snapshot {before.pid}")
    if first.count < before.count or later.count <= first.count:
        counts = f"{before.count} before the snapshot, {first.count} and {later.count} after"
        problems.append(f"{vm}: the agent does not go on counting: {counts}")
    if first.uptime_s < before.uptime_s:
        problems.append(f"{vm}: up for {first.uptime_s} s, {before.uptime_s} s before the snapshot: it booted again")
    return problems


def connection_problems(vm: str, later: AgentSample, reconnected_s: float | None, limit_s: float) -> list[str]:
    """A TCP connection from before the snapshot that neither broke nor was replaced: its program hangs."""
    if reconnected_s is None:
        return [f"{vm}: the connection from before the snapshot still hangs after {limit_s:g} s: no error, no answer"]
    if later.lost is None:
        return [f"{vm}: the connection from before the snapshot ended without an error, so its program can't know"]
    return []


def counting_problems(what: str, text: str, pattern: str, at_least: int) -> list[str]:
    """Numbers in a text (the pattern's only group) that do not go up one by one, or not as far as they must."""
    numbers = [int(number) for number in re.findall(pattern, text, re.MULTILINE)]
    if not numbers or numbers[-1] < at_least:
        return [f"{what}: counts to {numbers[-1] if numbers else 'nothing'}, expected {at_least} at least"]
    return [f"{what}: {b} follows {a}" for a, b in pairwise(numbers) if b != a + 1]


def secret_problems(files: Sequence[Path], secret: str) -> list[str]:
    """Places in files where the secret can still be read."""
    problems = []
    for path in files:
        with path.open("rb") as stream, mmap.mmap(stream.fileno(), 0, prot=mmap.PROT_READ) as content:
            places = [match.start() for match in re.finditer(re.escape(secret.encode()), content)]
        if places:
            problems.append(f"{path.name}: a secret that was removed is still there, {len(places)} times, {places[:3]}")
    return problems
