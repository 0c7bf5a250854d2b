"""What `hornetos compare --json` writes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pydantic import TypeAdapter

from hornet.results.interleaved import Row

# Raise it when a field is removed or changes its meaning.
SCHEMA = 1


@dataclass(frozen=True)
class ComparisonFile:
    """A comparison. a, b: the paths, with their SHA-256; a snapshot's is that of its manifest.
    boot_args_b: that only B had. vmm_b: the program that ran only B; empty: the same as A's.

    false_alarm_rate: of an A/A run, measured; None if A and B differ. duration_s: of the measurement.
    """

    schema: int
    kind: str
    a: str
    b: str
    a_sha256: str
    b_sha256: str
    boot_args_b: str
    vmm_b: str
    lane: str
    seed: int
    blocks: int
    error_rate: float
    power: float
    duration_s: float
    load_per_core: float
    host: dict[str, Any]
    rows: list[Row]
    false_alarm_rate: float | None


def as_data(found: ComparisonFile) -> dict[str, Any]:
    """The comparison as JSON data."""
    data: dict[str, Any] = TypeAdapter(ComparisonFile).dump_python(found, mode="json")
    return data
