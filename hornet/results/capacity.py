"""How many VMs a host holds: from the measured memory of clones, private and shared pages told apart."""

from __future__ import annotations

from dataclasses import dataclass

from hornet.errors import HostError
from hornet.results.records import Record

METRIC = "ram_per_vm"
SHARED = "_shared"


@dataclass(frozen=True)
class Footprint:
    """private_mb: what each further VM takes; shared_mb: what all of them together take once."""

    private_mb: float
    shared_mb: float

    @classmethod
    def of_record(cls, record: Record) -> Footprint:
        """From a record whose parts are a MemorySplit, taken with `clones` VMs running.

        Raises HostError for a record without parts or without the number of clones.
        """
        clones = record.dimensions.get("clones")
        if not record.parts or not isinstance(clones, int) or clones < 1:
            raise HostError(
                f"{record.name} ({record.label or 'no dimensions'}): no parts, or no number of clones",
                "measure again with tests/perf: density needs private and shared memory apart",
            )
        shared = sum(amount for name, amount in record.parts.items() if name.endswith(SHARED))
        if shared >= record.value:
            raise HostError(f"{record.name} ({record.label}): no private memory at all can't be", "measure again")
        # A page that all clones share counts 1/clones in each.
        return cls(private_mb=record.value - shared, shared_mb=shared * clones)

    def vms_in(self, available_mb: float, work_mb: float = 0) -> int:
        """How many VMs fit into so much memory when each one's work takes `work_mb` more private memory."""
        return max(0, int((available_mb - self.shared_mb) // (self.private_mb + work_mb)))
