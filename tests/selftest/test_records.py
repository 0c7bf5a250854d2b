"""Records: what goes in comes out, what is inconsistent or damaged is refused by name."""

from __future__ import annotations

import json
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from hornet.errors import HostError
from hornet.results.records import RECORDS_FILE, Record, append_record, read_records

HOST = {"cpu": "synthetic"}


def record(**changes: Any) -> Record:
    facts = {"name": "rootfs_size", "value": 149.9, "unit": "MB", "direction": "lower", "lane": None, "host": HOST}
    return Record(**{**facts, **changes})


amounts = st.floats(min_value=0, max_value=1e9, allow_nan=False)
phases = st.fixed_dictionaries({"load": amounts, "resume": amounts, "first reply": amounts})


@given(st.lists(phases, min_size=1, max_size=20))
def test_record_of_runs_keeps_a_real_run_and_survives_json(runs: list[dict[str, float]]) -> None:
    made = Record.of_runs("snapshot_restore", runs, unit="ms", lane="qemu/tcg", host=HOST)
    assert made.parts in runs, "value and parts are those of a run that happened"
    assert sorted(made.samples) == sorted(sum(run.values()) for run in runs)
    assert Record.model_validate_json(made.model_dump_json()) == made


def test_appended_records_are_read_back_in_order(tmp_path: Path) -> None:
    first, second = record(), record(name="cold_boot", unit="ms", lane="qemu/tcg", dimensions={"page_cache": "hot"})
    append_record(tmp_path, first)
    append_record(tmp_path, second)
    assert read_records(tmp_path / RECORDS_FILE) == ([first, second], [])


def append_many(directory: Path, worker: int) -> None:
    for number in range(50):
        append_record(directory, record(value=worker * 1000 + number, samples=[worker * 1000.0 + number] * 200))


def test_lines_of_several_processes_do_not_mix(tmp_path: Path) -> None:
    with ProcessPoolExecutor(4) as pool:
        list(pool.map(append_many, [tmp_path] * 4, range(4)))
    records, problems = read_records(tmp_path / RECORDS_FILE)
    assert problems == []
    assert len({item.value for item in records}) == 200


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"lane": "qemu/hax"}, "qemu/hax"),
        ({"value": float("nan")}, "value"),
        ({"value": float("inf")}, "value"),
        ({"value": -1}, "value"),
        ({"direction": "up"}, "direction"),
        ({"samples": [1.0, 2.0]}, "outside its samples"),
        # The mistake of giving times since the start instead of durations of phases.
        ({"value": 30, "parts": {"userland": 10.0, "ready": 30.0}}, "disjoint"),
        ({"valeu": 3}, "valeu"),
    ],
)
def test_inconsistent_record_is_rejected(changes: dict[str, Any], named: str) -> None:
    with pytest.raises(ValidationError, match=named):
        record(**changes)


def test_record_of_no_runs_is_rejected() -> None:
    with pytest.raises(ValueError, match="at least one run"):
        Record.of_runs("cold_boot", [], unit="ms", lane="qemu/tcg", host=HOST)


def test_damaged_lines_are_named_and_cost_only_themselves(tmp_path: Path) -> None:
    good = record().model_dump_json()
    wrong = json.dumps({**record().model_dump(), "value": "fast"})
    path = tmp_path / RECORDS_FILE
    path.write_text(f"{good}\n{wrong}\n[]\n{good}\n{good[:40]}")
    records, problems = read_records(path)
    assert len(records) == 2
    assert [problem.split(":")[0] for problem in problems] == [f"{RECORDS_FILE}, line {n}" for n in (2, 3, 5)]
    assert "value" in problems[0]


def test_a_run_directory_that_is_gone_is_an_error_with_a_next_step(tmp_path: Path) -> None:
    with pytest.raises(HostError, match="writable"):
        append_record(tmp_path / "gone", record())
