"""A snapshot and two clones that pass every hazard, and ways to break them, each with the hazard that then fails."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from hornet.checks.hazards import CloneFacts, LineageFacts, ParentFacts
from hornet.spec.model import Spec
from hornet.vm.agent import AgentSample, TimedSample
from hornet.vm.probes import ProbeResult, ProbeResults

CANARY = "canary-0123"
COUNTED = "".join(f"{number}\n" for number in range(1, 12))
BEFORE = AgentSample(
    token="t",
    nonce="n",
    pid=7,
    count=10,
    synced=9,
    connections=1,
    lost=None,
    urandom="parent-urandom",
    random_bytes="parent-bytes",
    uuid="parent-uuid",
    web_uuid="parent-web",
    wall_s=1000.0,
    monotonic_s=50.0,
    uptime_s=60.0,
)


@dataclass(frozen=True)
class Mutation:
    """One way to break clones, and the hazard that must fail."""

    name: str
    fails: str
    lineage: LineageFacts


def good_lineage(spec: Spec, files: list[Path]) -> LineageFacts:
    """What a snapshot of a HornetOS image and its clones say. files: the snapshot's own."""
    frame = _arp_frame(spec)
    parent = ParentFacts("n", CANARY, TimedSample(BEFORE, 999.0, 1000.0), 1000.5, _facts("parent"), "parent-key")
    return LineageFacts(parent, [_clone("vm1", frame), _clone("vm2", frame)], files)


def _facts(who: str, seed: str = "") -> ProbeResults:
    drawn = {name: f"{who}-{name}" for name in ("boot_id", "machine_id", "urandom", "getrandom")}
    printed = {**drawn, "seeds": seed, "disk": COUNTED, "secret_used": "0"}
    return ProbeResults(ProbeResult(f"hazard.{name}", 0, f"{text}\n") for name, text in printed.items())


def _clone(name: str, frame: bytes) -> CloneFacts:
    own: dict[str, Any] = {
        "urandom": f"{name}-u",
        "random_bytes": f"{name}-r",
        "uuid": f"{name}-i",
        "web_uuid": f"{name}-w",
    }
    first = replace(BEFORE, **own, count=11, monotonic_s=51.0, uptime_s=61.0, wall_s=1100.0)
    later = replace(first, count=12, lost="ECONNRESET", connections=2, wall_s=1101.0)
    console = "".join(f"agent n counts {number}\n" for number in range(1, 12))
    return CloneFacts(
        name=name,
        first=TimedSample(first, 1099.5, 1101.0),
        later=TimedSample(later, 1100.5, 1101.5),
        resumed_s=1099.8,
        frames=[frame],
        reconnected_s=0.4,
        facts=_facts(name),
        host_key=f"{name}-key",
        console=console,
    )


def lineage_mutations(good: LineageFacts, bad_file: Path) -> Iterator[Mutation]:
    """Every hazard, broken in each way that it looks for. bad_file: one that holds the canary."""
    one, two = good.clones
    parent = good.parent

    def drawn(name: str) -> LineageFacts:
        return _with(good, first=_seen(two.first, **{name: getattr(one.first.seen, name)}))

    def printed(name: str, text: str | None = None) -> LineageFacts:
        said = one.facts[f"hazard.{name}"].output if text is None else text
        return _with(good, facts=two.facts.with_answer(ProbeResult(f"hazard.{name}", 0, said)))

    for hazard, name in (
        ("first_urandom", "urandom"),
        ("first_openssl_bytes", "random_bytes"),
        ("first_uuid", "uuid"),
        ("first_web_uuid", "web_uuid"),
    ):
        yield Mutation(f"the same {name} at first", hazard, drawn(name))
    for hazard, name in (("later_urandom", "urandom"), ("later_getrandom", "getrandom")):
        yield Mutation(f"the same {name} later", hazard, printed(name))
        yield Mutation(f"no {name} later", hazard, printed(name, ""))
    for name in ("boot_id", "machine_id"):
        yield Mutation(f"the same {name}", name, printed(name))
        yield Mutation(f"no {name}", name, printed(name, ""))
    seed = f"{'a' * 64}  /var/lib/seed"
    shared = replace(good, clones=[replace(it, facts=_facts(it.name, seed)) for it in good.clones])
    yield Mutation("the same seed file", "seed_files", shared)
    yield Mutation("the same SSH host key", "ssh_host_key", _with(good, host_key=one.host_key))
    yield Mutation("a late clock", "wall_clock", _with(good, first=_seen(two.first, wall_s=1090.0)))
    yield Mutation("a clock of the future", "wall_clock", _with(good, later=_seen(two.later, wall_s=1110.0)))
    yield Mutation("timers go back", "monotonic_clock", _with(good, first=_seen(two.first, monotonic_s=49.0)))
    yield Mutation("timers jump", "monotonic_clock", _with(good, first=_seen(two.first, monotonic_s=150.0)))
    yield Mutation("another memory", "memory", _with(good, first=_seen(two.first, nonce="other")))
    yield Mutation("another process", "memory", _with(good, first=_seen(two.first, pid=8)))
    yield Mutation("it stands still", "memory", _with(good, later=_seen(two.later, count=11)))
    yield Mutation("it booted again", "memory", _with(good, first=_seen(two.first, uptime_s=1.0)))
    yield Mutation("a line is missing on the disk", "synced_data", printed("disk", COUNTED.replace("5\n", "")))
    yield Mutation("what was synced is not there", "synced_data", printed("disk", "1\n2\n"))
    yield Mutation("a line is missing on the console", "console", _with(good, console=two.console.replace("5\n", "\n")))
    yield Mutation("the card sent nothing", "first_packets", _with(good, frames=[]))
    yield Mutation("a connection hangs", "old_connection", _with(good, reconnected_s=None))
    yield Mutation(
        "a connection ends without an error", "old_connection", _with(good, later=_seen(two.later, lost=None))
    )
    yield Mutation("a secret in the snapshot", "removed_secret", replace(good, files=[*good.files, bad_file]))
    unused = parent.facts.with_answer(ProbeResult("hazard.secret_used", 0, "1\n"))
    yield Mutation("no secret was used", "removed_secret", replace(good, parent=replace(parent, facts=unused)))


def _arp_frame(spec: Spec) -> bytes:
    """A guest that asks everybody for the gateway's MAC address."""
    mac = bytes.fromhex(spec.network.guest_mac.replace(":", ""))
    arp = bytes(8) + mac + spec.network.guest_address.ip.packed + bytes(10)
    return b"\xff" * 6 + mac + (0x0806).to_bytes(2, "big") + arp


def _with(good: LineageFacts, **changes: Any) -> LineageFacts:
    """The same with another second clone."""
    return replace(good, clones=[good.clones[0], replace(good.clones[1], **changes)])


def _seen(sample: TimedSample, **changes: Any) -> TimedSample:
    return replace(sample, seen=replace(sample.seen, **changes))
