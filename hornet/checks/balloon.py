"""VIRTIO_BALLOON (guide: Required Kernel Features): the host takes memory from a guest and returns it."""

from __future__ import annotations

from dataclasses import dataclass

from hornet.checks.check import check


@dataclass(frozen=True)
class Balloon:
    """The guest's memory in KiB: before, while the balloon held `taken_mib`, and after it returned them."""

    taken_mib: int
    before_kib: int
    taken_kib: int
    given_kib: int


@check("balloon")
def balloon_problems(balloon: Balloon) -> list[str]:
    """A balloon that took too little memory, or did not return it."""
    problems = []
    expected_kib = balloon.before_kib - balloon.taken_mib * 1024
    if balloon.taken_kib > expected_kib:
        problems.append(
            f"memory with a {balloon.taken_mib} MiB balloon: {balloon.taken_kib} KiB, expected {expected_kib}"
        )
    if balloon.given_kib < balloon.before_kib:
        problems.append(f"memory after the balloon returned it: {balloon.given_kib} KiB, expected {balloon.before_kib}")
    return problems
