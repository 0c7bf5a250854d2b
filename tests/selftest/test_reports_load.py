"""Loading a run: whatever is missing, truncated or foreign is named, and costs only itself."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hornet.errors import HornetError
from hornet.results.benchmarks import read_benchmarks
from hornet.results.outcomes import (
    MAX_DETAIL_CHARACTERS,
    MAX_NAME_CHARACTERS,
    MAX_REASON_CHARACTERS,
    OUTCOMES_FILE,
    Case,
    Result,
    append_outcome,
    read_outcomes,
)
from hornet.results.records import RECORDS_FILE, Record, append_record
from hornet.results.run import load_run
from tests.support import synthetic_run as synthetic


def test_a_complete_run_loads_without_a_problem(tmp_path: Path) -> None:
    run = load_run(synthetic.make_run(tmp_path / "run"))
    assert run.problems == []
    assert run.records == synthetic.records()
    assert run.cases == synthetic.CASES
    assert (run.tier, run.subject) == ("standard", {"kernel": "0" * 64, "rootfs": "1" * 64})
    assert run.host == synthetic.HOST


def test_no_directory_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(HornetError, match="no such run directory"):
        load_run(tmp_path / "run")


@pytest.mark.parametrize(
    ("name", "text", "named"),
    [
        ("host.json", None, "host.json: no such file"),
        ("host.json", '{"cpu": "Synth', "host.json: not valid JSON"),
        ("host.json", "[1, 2]", "host.json: expected a JSON object"),
        ("artifacts.json", None, "artifacts.json: no such file"),
        ("artifacts.json", '{"kernel": "vmlinux"}', "'kernel' is not a table"),
        (OUTCOMES_FILE, None, "outcomes.jsonl: no such file"),
        (OUTCOMES_FILE, '{"kind": "test", "tes', "outcomes.jsonl, line 1"),
        (RECORDS_FILE, None, "records.jsonl: no such file"),
        (RECORDS_FILE, '{"name": "rootfs_size", "val', "records.jsonl, line 1"),
    ],
)
def test_each_missing_or_damaged_input_is_named(tmp_path: Path, name: str, text: str | None, named: str) -> None:
    directory = synthetic.make_run(tmp_path / "run", **{name.replace(".", "__"): text})
    problems = load_run(directory).problems
    assert len(problems) == 1, problems
    assert named in problems[0]


def saved_benchmark(run: str, *, data: list[float] | None) -> str:
    stats = {"median": 0.05, **({"data": data} if data else {})}
    info = {"run": run, "metric": "ssh_login", "lane": "qemu/tcg", "dimensions": {"clones": 2}, "host": synthetic.HOST}
    return json.dumps({"benchmarks": [{"name": "test_ssh", "stats": stats, "extra_info": info}]})


def test_saved_benchmarks_of_this_run_are_taken_in_ms(tmp_path: Path) -> None:
    path = tmp_path / "0001.json"
    path.write_text(saved_benchmark("mine", data=[0.04, 0.05, 0.06]))
    found = read_benchmarks(path)
    (record,) = found["mine"]
    assert (record.name, record.unit, record.lane) == ("ssh_login", "ms", "qemu/tcg")
    assert (record.value, record.samples) == (50.0, [40.0, 50.0, 60.0])
    assert list(found) == ["mine"]


def test_saved_benchmarks_are_found_beside_the_run(tmp_path: Path) -> None:
    saved = tmp_path / "benchmarks" / "Linux-CPython"
    saved.mkdir(parents=True)
    (saved / "0001_x.json").write_text(saved_benchmark("run", data=None))
    (saved / "0002_x.json").write_text("{}")
    run = load_run(synthetic.make_run(tmp_path / "run", records=[]))
    assert [record.name for record in run.records] == ["ssh_login"]
    assert len(run.problems) == 2, "records.jsonl is missing, and 0002_x.json is foreign"
    assert "0002_x.json" in "".join(run.problems)


def test_a_record_is_not_counted_again_as_a_benchmark(tmp_path: Path) -> None:
    directory = synthetic.make_run(tmp_path / "run", records=[])
    (tmp_path / "benchmarks").mkdir()
    (tmp_path / "benchmarks" / "0001.json").write_text(saved_benchmark("run", data=[0.1]))
    own = Record(
        name="ssh_login",
        value=49.0,
        unit="ms",
        direction="lower",
        lane="qemu/tcg",
        dimensions={"clones": 2},
        host=synthetic.HOST,
    )
    append_record(directory, own)
    assert load_run(directory).records == [own]


def test_the_longest_outcome_can_be_read_again(tmp_path: Path) -> None:
    longest = Case(
        test="x" * MAX_NAME_CHARACTERS,
        result=Result.FAILED,
        reason="\U0001f600" * MAX_REASON_CHARACTERS,
        detail="\U0001f600" * MAX_DETAIL_CHARACTERS,
    )
    append_outcome(tmp_path, longest.model_dump(mode="json"))
    assert read_outcomes(tmp_path / OUTCOMES_FILE) == ([longest], [])
