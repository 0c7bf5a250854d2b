"""What bounds the VMs of a host beside memory: processors, restores, reads after a reboot, and the kernel's limits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from hornet.capacity.model import Scenario
from hornet.errors import HostError
from hornet.foreign_file import ForeignFileError, read_text
from hornet.spec.capacity import Kind, Limit

MAX_PROC_BYTES = 4096


@dataclass(frozen=True)
class Bound:
    """The VMs that one resource of a host allows. reason: the sum that leads to it. source: of its figures."""

    name: str
    title: str
    vms: int
    reason: str
    kind: Kind
    source: str


def read_limits(limits: Mapping[str, Limit]) -> dict[str, Limit]:
    """The same limits with the values of this host, where Linux shows them. Raises HostError for an odd value."""
    return {name: _of_this_host(name, limit) for name, limit in limits.items()}


def _of_this_host(name: str, limit: Limit) -> Limit:
    if limit.path is None:
        return limit
    try:
        text = read_text(Path(limit.path), MAX_PROC_BYTES).strip()
    except ForeignFileError as error:
        raise HostError(
            f"limit {name}: {error.message}", "leave out --this-host, or give the limit in an overlay"
        ) from error
    if not text.isdigit():
        raise HostError(
            f"limit {name}: {limit.path} contains {text!r}, expected a number", "give the limit in an overlay"
        )
    return limit.model_copy(
        update={"capacity": float(text), "kind": "measured", "source": f"{limit.path} of this host"}
    )


def kernel_bounds(limits: Mapping[str, Limit]) -> list[Bound]:
    """A bound for each limit of the kernel or the disk. A limit of one process allows any number of VMs, or none."""
    return [
        Bound(
            name,
            limit.title,
            int(limit.capacity // limit.per_vm),
            f"{limit.capacity:,.0f} at {limit.per_vm:g} per VM",
            limit.kind,
            limit.source,
        )
        for name, limit in limits.items()
        if not limit.per_process
    ] + [
        Bound(
            name, limit.title, 0, f"a VMM needs {limit.per_vm:g}, allowed {limit.capacity:g}", limit.kind, limit.source
        )
        for name, limit in limits.items()
        if limit.per_process and limit.per_vm > limit.capacity
    ]


def restart_bounds(scenario: Scenario) -> list[Bound]:
    """What restoring all VMs after a reboot of the host allows: the rate of restores, and reads of their memory."""
    given = scenario.groups[0].assumptions
    restores = given.restores_per_core_s.value * scenario.host.cores * given.restart_s.value
    readable_mb = given.disk_read_mb_per_s.value * given.restart_s.value - scenario.shared_mb
    weights = scenario.weights
    faulted_mb = float(sum(weights * [group.footprint.private_mb for group in scenario.groups]))
    return [
        Bound(
            "restore_rate",
            "restores after a reboot",
            int(restores),
            f"{given.restores_per_core_s.value:g} a second and core on {scenario.host.cores:g} cores, "
            f"{given.restart_s.value:g} s",
            given.restores_per_core_s.kind,
            f"{given.restores_per_core_s.source}; {given.restart_s.source}",
        ),
        Bound(
            "fault_in",
            "reads after a reboot",
            max(0, int(readable_mb // faulted_mb)),
            f"{faulted_mb:.3g} MB per VM at {given.disk_read_mb_per_s.value:g} MB/s, {given.restart_s.value:g} s",
            given.disk_read_mb_per_s.kind,
            f"{given.disk_read_mb_per_s.source}; {given.restart_s.source}",
        ),
    ]
