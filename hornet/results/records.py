"""Measured values as JSON lines: what was measured, in which lane, on which host, with every sample.

records.jsonl of a run directory has one Record per line. Several processes may append at the same time.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from hornet.errors import HornetError
from hornet.foreign_file import parse_json, read_bytes
from hornet.host.append import append_line
from hornet.results.json_lines import parse_lines
from hornet.results.noise import Noise
from hornet.spec.lane import Lane
from hornet.text import one_line
from hornet.vmm.registry import LANE_NAMES, lane_named

RECORDS_FILE = "records.jsonl"
# A run has some hundred records; one with a thousand samples has 20 KiB.
MAX_RECORDS_BYTES = 16 << 20
MAX_RECORD_BYTES = 4 << 20
MAX_SAMPLES = 100_000
# Larger than any value in any unit here, and far below where sums, squares and axes overflow.
MAX_AMOUNT = 1e15
MAX_NAME_CHARACTERS = 200
# Parts are written as decimal text: allow the rounding error of a sum, nothing more.
SUM_TOLERANCE = 1e-6
# The part of a wall time that no phase explains; the spec limits its share.
UNEXPLAINED = "other_ms"
# The dimension that names what an image was built from; records of the default have none.
DISTRO = "distro"
# The dimension that tells what ran from what was extrapolated, for metrics that must run.
KNOWN, RAN, PLANNED = "known", "ran", "planned"
MAX_REASON_CHARACTERS = 500

Amount = Annotated[float, Field(ge=0, le=MAX_AMOUNT)]
Name = Annotated[str, Field(min_length=1, max_length=MAX_NAME_CHARACTERS)]
Direction = Literal["lower", "higher"]
Dimensions = dict[Name, Annotated[str, Field(max_length=MAX_NAME_CHARACTERS)] | int | float]


class Failure(BaseModel):
    """A repetition that failed or timed out.

    number: of the repetition, from 0; phase: the one that failed, empty if it failed before the first; parts: of the
    time until then, that of the failed phase included.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    number: Annotated[int, Field(ge=0, lt=MAX_SAMPLES)]
    phase: Annotated[str, Field(max_length=MAX_NAME_CHARACTERS), AfterValidator(one_line)]
    reason: Annotated[str, Field(max_length=MAX_REASON_CHARACTERS), AfterValidator(one_line)]
    timed_out: bool
    parts: dict[Name, Amount] = {}

    @classmethod
    def of_error(cls, number: int, error: HornetError) -> Failure:
        """The failure of a repetition that raised `error`."""
        reason = one_line(error.message)[:MAX_REASON_CHARACTERS]
        parts = dict(error.phases_ms)
        phase = next(reversed(parts), "")
        return cls(number=number, phase=phase, reason=reason, timed_out=error.timed_out, parts=parts)


class Record(BaseModel):
    """One measured quantity.

    name: a metric of the spec, or any other quantity worth keeping; value: in `unit`, with samples their
    median sample; direction: which way is better; lane: as in `qemu/tcg`, None for a property of a file
    that is the same everywhere; dimensions: what sets this value apart from others of the same name, as
    in page_cache=cold; host: hornet.host.facts.fingerprint(); samples: each single measurement, in `unit`;
    parts: what the value is made of, in order and in `unit`. Parts are disjoint: their sum is the value.
    runs: the parts of each sample; failures: each repetition that gave no sample. machine: memory and virtual CPUs of
    the VM. time: when it was written, UTC in ISO 8601; commit: of the suite; subject: SHA-256 of what was measured, by
    kind. noise: of the host meanwhile. sessions: the session of each repetition, failed ones included; empty for one
    session, which is one copy of the subject and one pool of networks. Records of older suites have none of these.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    name: Name
    value: Amount
    unit: Name
    direction: Direction
    lane: str | None
    dimensions: Dimensions = {}
    host: dict[str, Any]
    samples: Annotated[list[Amount], Field(max_length=MAX_SAMPLES)] = []
    parts: dict[Name, Amount] = {}
    runs: Annotated[list[dict[Name, Amount]], Field(max_length=MAX_SAMPLES)] = []
    failures: Annotated[list[Failure], Field(max_length=MAX_SAMPLES)] = []
    machine: Dimensions = {}
    time: Name | None = None
    commit: Name | None = None
    subject: dict[Name, Name] = {}
    noise: Noise | None = None
    sessions: Annotated[list[int], Field(max_length=MAX_SAMPLES)] = []

    @model_validator(mode="after")
    def _consistent(self) -> Record:
        if self.lane is not None and self.lane not in LANE_NAMES:
            raise ValueError(f"lane {self.lane!r}: expected none or one of {', '.join(LANE_NAMES)}")
        if self.samples and not min(self.samples) <= self.value <= max(self.samples):
            raise ValueError(f"value {self.value:g} is outside its samples")
        if self.parts:
            _check_sum("the value", self.parts, self.value)
        if self.runs and len(self.runs) != len(self.samples):
            raise ValueError(f"{len(self.runs)} runs and {len(self.samples)} samples: expected one run for each sample")
        for number, (parts, sample) in enumerate(zip(self.runs, self.samples, strict=False)):
            _check_sum(f"sample {number}", parts, sample)
        numbers = {failure.number for failure in self.failures}
        tried = len(self.samples) + len(self.failures)
        if len(numbers) != len(self.failures) or any(number >= tried for number in numbers):
            raise ValueError(f"failures {sorted(numbers)} of {tried} repetitions: expected each number once, below it")
        if self.sessions and len(self.sessions) != tried:
            raise ValueError(f"{len(self.sessions)} sessions of {tried} repetitions: expected one for each")
        return self

    @classmethod
    def of_runs(
        cls,
        name: str,
        runs: Sequence[Mapping[str, float]],
        *,
        unit: str,
        lane: str | None,
        host: Mapping[str, Any],
        dimensions: Dimensions | None = None,
        direction: Direction = "lower",
        **values: Any,
    ) -> Record:
        """One record of repeated runs, each given by its disjoint parts (such as the phases of a restore, in ms).

        The samples are the totals of the runs. Value and parts are those of the median run, so that they
        really occurred together. values: of other fields. Raises ValueError for no runs.
        """
        totals = [sum(parts.values()) for parts in runs]
        if not totals:
            raise ValueError(f"{name}: a record needs at least one run")
        median = statistics.median_low(totals)
        return cls(
            name=name,
            value=median,
            unit=unit,
            direction=direction,
            lane=lane,
            dimensions=dimensions or {},
            host=dict(host),
            samples=totals,
            parts=dict(runs[totals.index(median)]),
            runs=[dict(parts) for parts in runs],
            **values,
        )

    def by_session(self, failed: float | None = None) -> list[list[float]]:
        """The samples of each session. failed: stands for each repetition that gave none; None leaves it out."""
        samples = iter(self.samples)
        failures = {failure.number for failure in self.failures}
        found: dict[int, list[float]] = {}
        for number in range(len(self.samples) + len(self.failures)):
            value = failed if number in failures else next(samples)
            if value is not None:
                found.setdefault(self.sessions[number] if self.sessions else 0, []).append(value)
        return list(found.values())

    @property
    def unexplained_share(self) -> float:
        """The share of the wall time of all repetitions that none of their phases explains."""
        total = sum(sum(parts.values()) for parts in self.runs)
        return sum(parts.get(UNEXPLAINED, 0) for parts in self.runs) / total if total else 0.0

    @property
    def parsed_lane(self) -> Lane | None:
        """The lane as an object; None for a property of a file."""
        return lane_named(self.lane) if self.lane else None

    @property
    def in_lab(self) -> bool:
        """Whether it comes from a VM whose host's processor, and with it KVM, was emulated (docs/lab.md)."""
        return self.lane is not None and self.host.get("emulated_cpu") is True

    @property
    def judges_time(self) -> bool:
        """Whether a time or a density was measured where it is judged: in a KVM lane, on a real processor."""
        lane = self.parsed_lane
        return lane is not None and lane.judges_time and not self.in_lab

    @property
    def identity(self) -> tuple[str, str | None, tuple[tuple[str, str], ...]]:
        """Equal for two records that measure the same thing: name, lane, dimensions, and whether in the lab."""
        return self.name, self.lane, tuple(sorted((key, str(value)) for key, value in self._all_dimensions.items()))

    @property
    def label(self) -> str:
        """The dimensions as text, as in `page_cache=cold, clones=4`; empty if there are none."""
        return ", ".join(f"{key}={value}" for key, value in self._all_dimensions.items())

    @property
    def _all_dimensions(self) -> Dimensions:
        return {**self.dimensions, **({"host": "lab"} if self.in_lab else {})}


def _check_sum(what: str, parts: Mapping[str, float], value: float) -> None:
    total = sum(parts.values())
    if abs(total - value) > SUM_TOLERANCE * max(total, value):
        raise ValueError(f"parts add up to {total:g}, {what} is {value:g}: parts must be disjoint")


def append_record(run_directory: Path, record: Record) -> None:
    """Add one line to records.jsonl. Raises HostError for a full or unwritable disk."""
    append_line(run_directory / RECORDS_FILE, json.dumps(record.model_dump(mode="json")))


def read_records(path: Path) -> tuple[list[Record], list[str]]:
    """The records of a file, and one sentence (file, line, reason) for each damaged line.

    A damaged line is skipped. Raises ForeignFileError if the file cannot be read.
    """
    records, problems = parse_records(read_bytes(path, MAX_RECORDS_BYTES))
    return records, [f"{path.name}, {problem}" for problem in problems]


def parse_records(data: bytes) -> tuple[list[Record], list[str]]:
    """The records in the lines of records.jsonl, and one sentence for each of the first damaged lines."""
    return parse_lines(data, lambda line: Record.model_validate(parse_json(line)), MAX_RECORD_BYTES)
