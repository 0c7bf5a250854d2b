"""What a run measured, for a plan: the footprint of a VM with its error, and the profile of the suite's own work."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.stats import t as students_t

from hornet.capacity.footprint import METRIC, WORKING_METRIC, Footprint
from hornet.errors import HostError
from hornet.results.benchmarks import SavedBenchmarks
from hornet.results.history import begun_at, run_directories
from hornet.results.records import DISTRO, Record
from hornet.results.run import Run, load_run
from hornet.results.run_info import RUN_FILE, run_problems
from hornet.spec.capacity import Kind, MeasuredElsewhere, Profile
from hornet.spec.rootfs import BASELINE
from hornet.text import one_line

WORKED = "worked"
# Older suites recorded both states under one name.
NAMES = (METRIC, WORKING_METRIC)
UNIT = "MB"
# The newest runs in which measured memory is looked for.
TRIED_RUNS = 50
NEXT = "measure with `pytest tests/perf`, then plan again"


@dataclass(frozen=True)
class Measured:
    """The memory of a VM in one run. error_mb: half of its 95 % interval, None for a single sample.

    clones: how many VMs ran at once. grown: the footprint after an agent's step, if measured.
    elsewhere: where it is from, if not from a run. changed: why the run may not be the one that its tests left.
    """

    run: str
    tier: str
    lane: str | None
    footprint: Footprint
    grown: Footprint | None
    error_mb: float | None
    clones: int
    emulated: bool
    elsewhere: str = ""
    changed: tuple[str, ...] = ()

    @property
    def kind(self) -> Kind:
        return "emulated" if self.emulated else "measured"

    @property
    def source(self) -> str:
        lane = f", {self.lane}" if self.lane else ""
        return f"{self.origin}, tier {self.tier}{lane}: {self.clones} clones at once"

    @property
    def origin(self) -> str:
        return f"the spec, without a run ({self.elsewhere})" if self.elsewhere else f"run {self.run}"


def latest_measured(reports: Path, lane: str | None = None) -> Measured | None:
    """That of the newest run below `reports` whose memory is usable, whatever its tier, but not of the baseline image.

    None if none of the newest has any.
    """
    begun = begun_at(run_directories(reports))
    saved = SavedBenchmarks(reports)
    for directory in sorted(begun, key=lambda each: (begun[each], each), reverse=True)[:TRIED_RUNS]:
        with suppress(HostError):
            found = measured(load_run(directory, saved), lane)
            if found.tier != BASELINE:
                return found
    return None


def of_spec(given: MeasuredElsewhere) -> Measured:
    """The footprint of the spec, for a plan without a run."""
    return Measured(
        run="",
        tier=given.tier,
        lane=given.lane,
        footprint=Footprint(given.private_mb, given.shared_mb),
        grown=None,
        error_mb=given.error_mb,
        clones=given.clones,
        emulated=given.kind == "emulated",
        elsewhere=given.source,
    )


def measured(run: Run, lane: str | None = None) -> Measured:
    """The memory that a run measured, in `lane` or in the best one that it has.

    Raises HostError, with the reasons, for a run that has no such record, or only unusable ones.
    """
    found = [record for record in run.records if record.name in NAMES and lane in (None, record.lane)]
    if not found:
        lost = "; ".join(run.lost)
        where = f" in lane {lane}" if lane else ""
        raise HostError(f"run {run.name}: no record of memory per VM{where}{': ' if lost else ''}{lost}", NEXT)
    for record in found:
        if record.unit != UNIT:
            raise HostError(
                f"run {run.name}: {record.name} is in {record.unit!r}, expected {UNIT} of 1,000,000 bytes", NEXT
            )
    found.sort(key=_is_emulated)
    lane_records = [record for record in found if record.lane == found[0].lane]
    rested = [record for record in lane_records if record.dimensions.get("state") != WORKED]
    worked = [record for record in lane_records if record.dimensions.get("state") == WORKED]
    base = (rested or worked)[0]
    of_baseline = base.dimensions.get(DISTRO) == BASELINE
    return Measured(
        run=one_line(run.name),
        tier=BASELINE if of_baseline else run.rootfs.tier or run.tier or "unknown",
        lane=base.lane,
        footprint=Footprint.of_record(base),
        grown=Footprint.of_record(worked[0]) if rested and worked else None,
        error_mb=_error(base.samples),
        clones=int(base.dimensions["clones"]),
        emulated=_is_emulated(base),
        changed=tuple(run_problems(run.directory, run.info)) if run.info else (f"no readable {RUN_FILE}",),
    )


def profile_of_work(found: Measured, like: Profile) -> Profile:
    """The suite's own work as a profile: its growth is the burst. When it happens is assumed as in the profile `like`.

    Raises HostError if the run did not measure it.
    """
    if found.grown is None:
        raise HostError(f"run {found.run}: its memory was not measured before and after work", NEXT)
    growth_mb = found.grown.private_mb - found.footprint.private_mb
    if growth_mb <= 0:
        raise HostError(
            f"run {found.run}: private memory fell by {-growth_mb:g} MB through work, which is impossible",
            "measure again",
        )
    return Profile(
        title="The suite's own work: Node.js and git",
        source=found.source,
        kind=found.kind,
        idle_mb=0,
        busy_share=like.busy_share,
        burst_mb=[[0.5, growth_mb]],
        burst_max_mb=growth_mb,
        burst_s=like.burst_s,
        correlation=like.correlation,
        cpu_idle=like.cpu_idle,
        cpu_busy=like.cpu_busy,
        assumed=["busy_share", "burst_s", "correlation", "cpu_idle", "cpu_busy"],
    )


def _is_emulated(record: Record) -> bool:
    return record.lane is not None and not record.judges_time


def _error(samples: Sequence[float]) -> float | None:
    """Half of the 95 % interval of the mean of all VMs (Student's t)."""
    if len(samples) < 2:
        return None
    deviation = float(np.std(samples, ddof=1))
    return float(students_t.ppf(0.975, len(samples) - 1)) * deviation / float(np.sqrt(len(samples)))
