"""A record keeps every repetition: its phases, its failure, and the machine that ran it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from pydantic import ValidationError

from hornet.errors import VMError
from hornet.results.compare import Change, compare
from hornet.results.history import read_history, run_directories
from hornet.results.records import UNEXPLAINED, Failure, Record
from hornet.results.run import Run
from hornet.results.verdict import Verdict, judge_record
from hornet.spec.model import load_spec
from reports.frames import records_frame
from tests.support.synthetic_run import HOST, make_run

SPEC = load_spec()

NEWER = ("runs", "failures", "machine", "time", "commit", "subject")
FAST = [{"load_ms": 3.0 + number / 10, "resume_ms": 0.5} for number in range(7)]


def restores(*, failures: Sequence[Failure] = (), unexplained_ms: float = 0.0, memory_mib: int = 256) -> Record:
    return Record.of_runs(
        "snapshot_restore",
        [{**parts, UNEXPLAINED: unexplained_ms} for parts in FAST],
        unit="ms",
        lane="firecracker/kvm",
        host=HOST,
        failures=list(failures),
        machine={"memory_mib": memory_mib},
    )


def failure(number: int) -> Failure:
    error = VMError("no answer", timed_out=True)
    error.phases_ms = {"load_ms": 3.0, "resume_ms": 500.0}
    return Failure.of_error(number, error)


def test_a_record_keeps_the_phases_of_every_repetition() -> None:
    assert [parts["load_ms"] for parts in restores().runs] == [parts["load_ms"] for parts in FAST]


@pytest.mark.parametrize("change", [{"runs": FAST[:3]}, {"runs": [{"load_ms": 99.0}] * 7}])
def test_runs_that_do_not_match_their_samples_are_rejected(change: dict[str, object]) -> None:
    with pytest.raises(ValidationError, match=r"one run for each sample|sample 0 is"):
        Record.model_validate({**restores().model_dump(), **change})


def test_a_record_of_an_older_suite_is_read() -> None:
    old = {key: value for key, value in restores().model_dump().items() if key not in NEWER}
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
    assert set(frame["machine_memory_mib"]) == {256}


def test_a_failure_has_the_phase_that_failed() -> None:
    found = failure(2)
    assert (found.phase, found.timed_out, found.reason) == ("resume_ms", True, "no answer")


@pytest.mark.parametrize("numbers", [[3, 3], [9]], ids=["twice", "too large"])
def test_failures_that_are_no_repetitions_are_rejected(numbers: list[int]) -> None:
    with pytest.raises(ValidationError, match="expected each number once"):
        restores(failures=[failure(number) for number in numbers])


def test_failed_repetitions_are_worse_than_any_sample() -> None:
    few, most = (restores(failures=[failure(number) for number in range(count)]) for count in (2, 8))
    assert judge_record(SPEC, "snapshot_restore", few).verdict is Verdict.MEETS
    found = judge_record(SPEC, "snapshot_restore", most)
    assert found.verdict is Verdict.MISSES
    assert "8 of 15 repetitions failed, the first in resume_ms: no answer" in found.reason


def test_a_failed_repetition_spoils_the_bound_of_a_percentile() -> None:
    metric = SPEC.metrics["snapshot_restore"].model_copy(update={"percentile": 95})
    spec = SPEC.model_copy(update={"metrics": {**SPEC.metrics, "snapshot_restore": metric}})
    good = restores().model_copy(update={"runs": [], "samples": [4.0] * 58})
    assert judge_record(spec, "snapshot_restore", good).verdict is Verdict.INVALID_RECORD
    spoiled = good.model_copy(update={"failures": [failure(0)]})
    assert judge_record(spec, "snapshot_restore", spoiled).verdict is Verdict.MISSES


def test_a_record_whose_phases_explain_too_little_is_invalid() -> None:
    assert judge_record(SPEC, "snapshot_restore", restores(unexplained_ms=0.01)).verdict is Verdict.MEETS
    found = judge_record(SPEC, "snapshot_restore", restores(unexplained_ms=0.5))
    assert found.verdict is Verdict.INVALID_RECORD
    assert "no phase explains 11.6% of the time" in found.reason


def test_a_data_frame_has_a_row_without_a_value_for_a_failure() -> None:
    frame = records_frame([replace(Run(Path("run")), records=[restores(failures=[failure(2)])])])
    assert list(frame["sample"]) == list(range(8))
    failed = frame[frame["failed_phase"].notna()]
    assert list(failed["sample"]) == [2]
    assert failed["value"].isna().all()
    assert list(failed["part_resume_ms"]) == [500.0]


def test_series_of_machines_of_different_memory_are_told_apart(tmp_path: Path) -> None:
    for number, memory_mib in enumerate((128, 256, 256)):
        made = restores(memory_mib=memory_mib, unexplained_ms=number)
        make_run(tmp_path / f"run{number}", records=[made])
    found = read_history(run_directories(tmp_path), ["snapshot_restore"])
    assert sorted((series.label, len(series.points)) for series in found.series) == [
        ("memory_mib=128", 1),
        ("memory_mib=256", 2),
    ]
