"""Really restored, not silently booted again: a process goes on, and what only memory held is still there."""

from __future__ import annotations

from dataclasses import dataclass

from hornet.guest import Guest

# A process that holds a nonce in its memory and counts: it writes both to a tmpfs, which is memory too.
WITNESS = """
setsid sh -c 'count=0; while :; do count=$((count + 1)); echo "$0 $$ $count" >/run/witness.new
mv /run/witness.new /run/witness; sleep 0.05; done' NONCE </dev/null >/dev/null 2>&1 &
until test -s /run/witness; do sleep 0.02; done
"""
READ = """
cat /run/witness; read -r uptime _ </proc/uptime; echo "$uptime"
set -- $(cat /run/witness); kill -0 "$2" && echo alive
before=$3; for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
  sleep 0.1; set -- $(cat /run/witness); test "$3" -gt "$before" && echo counting && break; done
"""
TIMEOUT_S = 60


@dataclass(frozen=True)
class Witness:
    """What the witness says at one moment. count: how often it has counted; uptime_s: the guest's."""

    nonce: str
    pid: int
    count: int
    uptime_s: float
    alive: bool
    counting: bool


def start_witness(guest: Guest, nonce: str) -> None:
    """Start the witness in a guest that is about to be snapshotted."""
    guest.run(WITNESS.replace("NONCE", nonce), TIMEOUT_S)


def read_witness(guest: Guest) -> Witness:
    """What it says now, also whether it still counts. A guest without a witness gives an empty nonce."""
    lines = guest.run(READ, TIMEOUT_S).stdout.split("\n")
    first = lines[0].split()
    nonce, pid, count = (first[0], int(first[1]), int(first[2])) if len(first) == 3 else ("", 0, 0)
    uptime_s = float(next((line for line in lines if line.replace(".", "", 1).isdigit()), "0"))
    return Witness(nonce, pid, count, uptime_s, "alive" in lines, "counting" in lines)


def continuity_problems(before: Witness, after: Witness) -> list[str]:
    """What says that the guest did not go on where it was."""
    problems = []
    if after.nonce != before.nonce:
        problems.append(f"memory lost: the witness holds {after.nonce!r}, before the snapshot {before.nonce!r}")
    if after.pid != before.pid or not after.alive:
        problems.append(f"the witness, process {before.pid}, is gone")
    if after.count < before.count or not after.counting:
        problems.append(f"the witness does not go on counting: {before.count} before the snapshot, {after.count} after")
    if after.uptime_s < before.uptime_s:
        problems.append(f"uptime {after.uptime_s} s, {before.uptime_s} s before the snapshot: the guest booted again")
    return problems
