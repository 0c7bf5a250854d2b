"""Records from what pytest-benchmark saved (`--benchmark-autosave`).

A benchmark says by `extra_info` what it measured: run (name of the run directory), lane, host, and where it
has them metric, dimensions. pytest-benchmark counts in seconds, records in ms.
"""

from __future__ import annotations

import json
import statistics
from pathlib import Path
from typing import Any

from hornet.records import Record

MS_PER_S = 1000.0


def read_benchmarks(path: Path, run_name: str) -> list[Record]:
    """The benchmarks in a saved file that belong to a run.

    Raises ValueError, with file and reason, for anything that is no saved file of pytest-benchmark.
    """
    try:
        saved = json.loads(path.read_text(encoding="utf-8"))
        mine = [entry for entry in saved["benchmarks"] if entry["extra_info"].get("run") == run_name]
        return [_record(entry) for entry in mine]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{path.name}: not a saved pytest-benchmark file: {error!r}"[:300]) from error


def _record(entry: dict[str, Any]) -> Record:
    info, stats = entry["extra_info"], entry["stats"]
    # The single measurements are there only with --benchmark-save-data.
    samples = [seconds * MS_PER_S for seconds in stats.get("data", [])]
    return Record(
        name=info.get("metric", entry["name"]),
        value=statistics.median_low(samples) if samples else stats["median"] * MS_PER_S,
        unit="ms",
        direction="lower",
        lane=info.get("lane"),
        dimensions=info.get("dimensions", {}),
        host=info.get("host", {}),
        samples=samples,
    )
