"""VIRTIO_BALLOON (guide: Required Kernel Features): the host takes memory from a guest and returns it."""

from __future__ import annotations

from dataclasses import dataclass

from hornet.checks.check import check

# Of what the balloon takes, this share is missing on the host's books and comes back: the balloon may first take the
# few pages that the guest has never touched, which the host did not have to give.
MIN_SHARE = 0.5
BYTES_PER_MIB = 1 << 20


@dataclass(frozen=True)
class Balloon:
    """The memory that a VM takes from its host, in MB, while the guest has written to all of its free memory.

    before; while the balloon held `taken_mib`; after the balloon returned them and the guest wrote to them again.
    """

    taken_mib: int
    before_mb: float
    inflated_mb: float
    deflated_mb: float

    @property
    def least_mb(self) -> float:
        """How much less the VM must take while the balloon holds its memory."""
        return self.taken_mib * BYTES_PER_MIB / 1e6 * MIN_SHARE


@check("balloon")
def balloon_problems(balloon: Balloon) -> list[str]:
    """A balloon that gave the host too little memory, or did not return it to the guest."""
    problems = []
    if balloon.before_mb - balloon.inflated_mb < balloon.least_mb:
        problems.append(
            f"a {balloon.taken_mib} MiB balloon: the VM takes {balloon.inflated_mb:.0f} MB of the host's memory, "
            f"{balloon.before_mb:.0f} MB before; expected at least {balloon.least_mb:.0f} MB less"
        )
    elif balloon.deflated_mb - balloon.inflated_mb < balloon.least_mb:
        problems.append(
            f"after a {balloon.taken_mib} MiB balloon returned its memory, the guest uses {balloon.deflated_mb:.0f} MB "
            f"of the host's, {balloon.inflated_mb:.0f} MB before; expected at least {balloon.least_mb:.0f} MB more"
        )
    return problems
