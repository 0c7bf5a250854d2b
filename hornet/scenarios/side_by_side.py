"""Sessions of two subjects, A and B, in blocks: both sides of a block one after the other, in random order."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from hornet.host.owned import work_directory
from hornet.host.phases import timed
from hornet.snapshot import Bundle
from hornet.vm.fleet import VM, Fleet

MILLION = 1_000_000
# Phases of a boot, which begins when the VMM starts: what is prepared for the VM before that does not count.
BOOT_PHASES = ("vmm_start_ms", "userland_ms", "sshd_ms")
TOTAL = "total"

# Each sample by its parts. Disjoint parts: their sum is the total.
Sample = Mapping[str, float]
Session = Callable[[], Sequence[Sample]]


@dataclass(frozen=True)
class Measured:
    """The samples of each side: by block, then in the order of the session."""

    a: list[Sequence[Sample]]
    b: list[Sequence[Sample]]


def interleave(a: Session, b: Session, blocks: int, seed: int, note: Callable[[str], None]) -> Measured:
    """Run the sessions. seed: of the order within each block. note: told which session runs. Raises what they raise."""
    chance = random.Random(seed)
    found: dict[str, list[Sequence[Sample]]] = {"A": [], "B": []}
    sessions = {"A": a, "B": b}
    for block in range(blocks):
        for side in chance.sample(sorted(sessions), k=len(sessions)):
            note(f"block {block + 1} of {blocks}: {side}")
            found[side].append(sessions[side]())
    return Measured(found["A"], found["B"])


def samples_by_part(sessions: Sequence[Sequence[Sample]]) -> dict[str, list[list[float]]]:
    """The total and, of several parts, each: a list of sessions with their samples."""
    parts = list(sessions[0][0])
    rows = {TOTAL: [[sum(sample.values()) for sample in session] for session in sessions]}
    if len(parts) > 1:
        rows |= {part: [[sample[part] for sample in session] for session in sessions] for part in parts}
    return rows


def boot_once(fleet: Fleet, boot: Callable[[], VM]) -> list[Sample]:
    """A session of one cold boot: its instructions in millions if they are counted, else its phases in ms."""
    vm = boot()
    try:
        return [_instructions(vm) or {phase: vm.phases_ms[phase] for phase in BOOT_PHASES}]
    finally:
        fleet.remove(vm)


def restore_often(fleet: Fleet, bundle: Bundle, restores: int, timeout_s: float) -> list[Sample]:
    """A session of restores, each until the first command has run, from a fresh copy of the snapshot's files."""
    with work_directory(fleet.workspace.run, "compare") as directory:
        own = bundle.checked_copy(directory)
        return [_restore_once(fleet, own, timeout_s) for _ in range(restores)]


def _restore_once(fleet: Fleet, bundle: Bundle, timeout_s: float) -> Sample:
    vm = fleet.restore(bundle)
    try:
        with timed(vm.phases_ms, "first_command_ms"):
            vm.guest.wait_ready(timeout_s)
        vm.mark("first_command")
        return _instructions(vm) or dict(vm.phases_ms)
    finally:
        fleet.remove(vm)


def _instructions(vm: VM) -> Sample | None:
    return {phase: count / MILLION for phase, count in vm.counter.by_phase.items()} if vm.counter else None
