"""How many VMs a host can be planned for, from the memory that a run measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hornet.capacity.footprint import METRIC, Footprint
from hornet.errors import HostError
from hornet.results.records import Record
from hornet.spec.capacity import Capacity

DENSITY_METRIC = "vms_per_16gb"


@dataclass(frozen=True)
class Plan:
    """VMs per host for one measured footprint. vms: pairs of (MB that an agent's work adds, VMs that fit)."""

    lane: str | None
    label: str
    emulated: bool
    footprint: Footprint
    vms: list[tuple[float, int]]


def plans(capacity: Capacity, records: Sequence[Record]) -> tuple[list[Plan], list[str]]:
    """One plan per record of memory, and one sentence for each record that is unusable."""
    made: list[Plan] = []
    problems: list[str] = []
    for record in [record for record in records if record.name == METRIC]:
        try:
            footprint = Footprint.of_record(record)
        except HostError as error:
            problems.append(f"no capacity plan: {error.message}")
            continue
        emulated = record.lane is not None and not record.judges_time
        vms = [(work_mb, footprint.vms_in(capacity.available_mb, work_mb)) for work_mb in capacity.work_mb]
        made.append(Plan(record.lane, record.label, emulated, footprint, vms))
    return made, problems
