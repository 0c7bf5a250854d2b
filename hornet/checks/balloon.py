"""VIRTIO_BALLOON (guide: Required Kernel Features): the host takes memory from a guest, and gives it back."""

from __future__ import annotations

from dataclasses import dataclass

from hornet.checks.check import check


@dataclass(frozen=True)
class Balloon:
    """What the guest had, in KiB, before, while `taken_mib` were taken, and after they were given back."""

    taken_mib: int
    before_kib: int
    taken_kib: int
    given_kib: int


@check("balloon")
def balloon_problems(balloon: Balloon) -> list[str]:
    """A balloon that did not take what it should, or did not give it back."""
    problems = []
    expected_kib = balloon.before_kib - balloon.taken_mib * 1024
    if balloon.taken_kib > expected_kib:
        problems.append(f"memory with {balloon.taken_mib} MiB taken: {balloon.taken_kib} KiB, expected {expected_kib}")
    if balloon.given_kib < balloon.before_kib:
        problems.append(f"memory given back: {balloon.given_kib} KiB, expected {balloon.before_kib}")
    return problems
