"""Many small run directories for tests of trends: run.json and records.jsonl, as a run closes them. Made-up figures."""

from __future__ import annotations

import hashlib
import json
import random
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from hornet.results.records import RECORDS_FILE
from hornet.results.run_info import RUN_FILE, RunInfo, Session
from tests.support.synthetic_run import HOST

FIRST = datetime(2026, 1, 1, tzinfo=UTC)


def value_record(name: str, value: float, **changes: Any) -> dict[str, Any]:
    """A record as a line of records.jsonl has it."""
    usual = {"name": name, "value": value, "unit": "ms", "direction": "lower", "lane": "qemu/kvm", "host": HOST}
    return {**usual, "samples": [value] * 20, **changes}


def write_run(reports: Path, number: int, records: list[dict[str, Any]], **changes: Any) -> Path:
    """One closed run, which began `number` hours after the first. changes: fields of run.json or of its session."""
    directory = reports / f"run-{number:04}"
    directory.mkdir(parents=True, exist_ok=True)
    text = "".join(json.dumps(record) + "\n" for record in records)
    (directory / RECORDS_FILE).write_text(text)
    start = FIRST + timedelta(hours=number)
    times = {"started": start.isoformat(), "ended": (start + timedelta(minutes=2)).isoformat(), "exit_status": 0}
    session = Session(command=["pytest"], **{**times, **changes.pop("session", {})})
    sha256 = hashlib.sha256(text.encode()).hexdigest()
    info = RunInfo(tier="standard", sessions=[session], files={RECORDS_FILE: sha256}, **changes)
    (directory / RUN_FILE).write_text(json.dumps(info.model_dump()))
    return directory


def write_runs(reports: Path, count: int, *, step_at: int, factor: float, metrics: int = 10) -> None:
    """Runs with several metrics; the first, `cold_boot`, is `factor` times as much from run `step_at` on."""
    chance = random.Random(1)
    for number in range(count):
        level = 400 * (factor if number >= step_at else 1)
        records = [value_record("cold_boot", level * chance.lognormvariate(0, 0.05))]
        records += [
            value_record("snapshot_restore", 8 * chance.lognormvariate(0, 0.05), dimensions={"page_cache": f"c{other}"})
            for other in range(metrics - 1)
        ]
        write_run(reports, number, records, subject={"kernel": "a" * 64 if number < step_at else "b" * 64})
