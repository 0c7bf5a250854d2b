"""How many VMs a host holds, computed from the measured private and shared memory of clones."""

from __future__ import annotations

from dataclasses import dataclass

from hornet.errors import HostError
from hornet.results.records import Record

METRIC = "ram_per_vm"
# The same of clones whose guests have done an agent's step. It has no target: guests keep in memory the files that they
# read, as far as there is room.
WORKING_METRIC = "ram_per_working_vm"
SHARED = "_shared"


@dataclass(frozen=True)
class Footprint:
    """Memory of VMs. private_mb: what each further VM takes; shared_mb: what all VMs together take once."""

    private_mb: float
    shared_mb: float

    @classmethod
    def of_record(cls, record: Record) -> Footprint:
        """Compute it from a record whose parts are a MemorySplit, measured while `clones` VMs ran.

        Raises HostError for a record without parts, without the number of clones, or without private memory.
        """
        clones = record.dimensions.get("clones")
        if not record.parts or not isinstance(clones, int) or clones < 1:
            raise HostError(
                f"{record.name} ({record.label or 'no dimensions'}): it has no parts, or no number of clones",
                "measure again with tests/perf: density needs private and shared memory separately",
            )
        shared = sum(amount for name, amount in record.parts.items() if name.endswith(SHARED))
        if shared >= record.value:
            raise HostError(
                f"{record.name} ({record.label}): private memory is {record.value - shared:g} MB, which is impossible",
                "measure again",
            )
        # PSS counts a page that all clones share as 1/clones in each.
        return cls(private_mb=record.value - shared, shared_mb=shared * clones)

    def vms_in(self, available_mb: float, work_mb: float = 0) -> int:
        """How many VMs fit into `available_mb` if the work of each takes `work_mb` more private memory."""
        return max(0, int((available_mb - self.shared_mb) // (self.private_mb + work_mb)))
