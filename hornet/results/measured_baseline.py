"""What the unslimmed baseline image takes, as runs of `--distro baseline` measured it: to compare other images with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hornet.foreign_file import ForeignFileError, read_bytes
from hornet.results.compare import relevant_host
from hornet.results.history import begun_at, run_directories
from hornet.results.records import DISTRO, MAX_RECORDS_BYTES, RECORDS_FILE, Record, parse_records
from hornet.results.run_info import RUN_FILE, read_run_info, run_problems
from hornet.spec.rootfs import BASELINE

# The newest runs in which a baseline is looked for.
TRIED_RUNS = 1000
# What sets images of HornetOS apart, but not the baseline, which is of no tier.
OF_THE_IMAGE = (DISTRO, "tier")


@dataclass(frozen=True)
class MeasuredBaseline:
    """A record of the baseline, and the run directory that has it."""

    directory: Path
    record: Record


def measured_baselines(reports: Path) -> list[MeasuredBaseline]:
    """The records of the baseline in the runs of a place, newest run first; only of runs that ended unchanged."""
    begun = begun_at(run_directories(reports))
    newest = sorted(begun, key=lambda each: (begun[each], each), reverse=True)[:TRIED_RUNS]
    return [MeasuredBaseline(directory, record) for directory in newest for record in _records(directory)]


def baseline_of(record: Record, measured: Sequence[MeasuredBaseline]) -> MeasuredBaseline | None:
    """The newest of the same quantity in the same lane, on the same host, in a VM of the same size."""
    return next((each for each in measured if _key(each.record) == _key(record)), None)


def _records(directory: Path) -> list[Record]:
    try:
        data = read_bytes(directory / RECORDS_FILE, MAX_RECORDS_BYTES)
        # Most runs have none, and parsing takes longer than this.
        if BASELINE.encode() not in data or run_problems(directory, read_run_info(directory / RUN_FILE)):
            return []
    except ForeignFileError:
        return []
    return [record for record in parse_records(data)[0] if record.dimensions.get(DISTRO) == BASELINE]


def _key(record: Record) -> tuple[object, ...]:
    dimensions = {key: value for key, value in record.dimensions.items() if key not in OF_THE_IMAGE}
    return record.name, record.unit, record.lane, dimensions, record.machine, relevant_host(record)
