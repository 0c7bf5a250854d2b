"""A record keeps every repetition: its phases, and the machine that ran it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from pydantic import ValidationError

from hornet.results.compare import Change, compare
from hornet.results.records import Record
from hornet.results.run import Run
from reports.frames import records_frame
from tests.support.synthetic_run import HOST

FAST = [{"load_ms": 3.0 + number / 10, "resume_ms": 0.5} for number in range(7)]


def restores(*, memory_mib: int = 256) -> Record:
    return Record.of_runs(
        "snapshot_restore",
        FAST,
        unit="ms",
        lane="firecracker/kvm",
        host=HOST,
        machine={"memory_mib": memory_mib},
    )


def test_a_record_keeps_the_phases_of_every_repetition() -> None:
    assert [parts["load_ms"] for parts in restores().runs] == [parts["load_ms"] for parts in FAST]


@pytest.mark.parametrize("change", [{"runs": FAST[:3]}, {"runs": [{"load_ms": 99.0}] * 7}])
def test_runs_that_do_not_match_their_samples_are_rejected(change: dict[str, object]) -> None:
    with pytest.raises(ValidationError, match=r"one run for each sample|sample 0 is"):
        Record.model_validate({**restores().model_dump(), **change})


def test_a_record_of_an_older_suite_is_read() -> None:
    old = {key: value for key, value in restores().model_dump().items() if key not in ("runs", "machine")}
    assert Record.model_validate(old).runs == []


def test_machines_of_different_memory_are_not_compared() -> None:
    found = compare(restores(memory_mib=128), restores())
    assert (found.change, found.reason) == (
        Change.NOT_COMPARABLE,
        "another virtual machine: memory_mib 128 instead of 256",
    )
    assert compare(restores(), restores()).change is Change.NONE_SHOWN


def test_a_data_frame_has_the_parts_of_each_sample() -> None:
    frame = records_frame([replace(Run(Path("run")), records=[restores()])])
    assert list(frame["part_load_ms"]) == [parts["load_ms"] for parts in FAST]
