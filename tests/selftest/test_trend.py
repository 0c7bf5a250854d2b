"""Trends: a change of level is found where it is, chance is none, and what can't be trusted is left out and named."""

from __future__ import annotations

import cProfile
import json
import random
import resource
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from hornet.errors import HostError
from hornet.results.benchmarks import SavedBenchmarks
from hornet.results.compare import Change
from hornet.results.history import Point, Series, read_history, run_directories, runs_up_to
from hornet.results.records import RECORDS_FILE
from hornet.results.run_info import RUN_FILE
from hornet.results.trend import change_points
from hornet_cli.app import app
from tests.support.many_runs import value_record, write_run, write_runs

FEW, MANY, LIMIT_MIB = 20, 1000, 300


def series(values: Sequence[float], subjects: Sequence[str] = ()) -> Series:
    points = [
        Point(str(place), Path(), f"2026-01-01T00:00:{place:02}", value, 0, {"kernel": (*subjects, *"a" * 999)[place]})
        for place, value in enumerate(values)
    ]
    return Series("m", "", "qemu/kvm", "ms", "lower", "standard", {}, points)


def noise(count: int, seed: int, spread: float = 0.08) -> list[float]:
    chance = random.Random(seed)
    return [100 * chance.lognormvariate(0, spread) for _ in range(count)]


def test_a_step_is_found_at_its_run_with_its_size() -> None:
    values = [value * (1.3 if place >= 25 else 1) for place, value in enumerate(noise(50, 1))]
    (change,) = change_points(series(values, ["a"] * 25 + ["b"] * 25))
    assert abs(change.index - 25) <= 1
    assert change.change is Change.WORSE
    assert change.factor == pytest.approx(1.3, rel=0.06)
    (back,) = change_points(series(values[::-1]))
    assert back.change is Change.BETTER
    assert back.new_subject == ()


def test_a_new_subject_at_the_change_is_named() -> None:
    values = [100.0] * 10 + [200.0] * 10
    assert change_points(series(values, ["a"] * 10 + ["b"] * 10))[0].new_subject == ("kernel",)


def test_two_steps_are_two_changes() -> None:
    values = [value * (1.4 if 20 <= place < 40 else 1) for place, value in enumerate(noise(60, 2))]
    assert [change.change for change in change_points(series(values))] == [Change.WORSE, Change.BETTER]


def test_chance_outliers_and_small_steps_are_no_change() -> None:
    wrong = [seed for seed in range(150) if change_points(series(noise(60, seed)))]
    assert len(wrong) <= 3, "with the penalty that is used, chance makes about 3 of 1000 series look changed"
    assert change_points(series([*noise(20, 1), 900.0, *noise(20, 2)])) == []
    assert (
        change_points(
            series([value * (1.03 if place > 100 else 1) for place, value in enumerate(noise(200, 3, 0.001))])
        )
        == []
    )


def test_too_few_runs_show_nothing() -> None:
    assert change_points(series([100.0] * 6 + [200.0] * 6)) == []
    assert len(change_points(series([100.0] * 8 + [200.0] * 8))) == 1


def test_lanes_hosts_tiers_and_units_are_series_of_their_own(tmp_path: Path) -> None:
    host = {"cpu": "another"}
    changes: list[dict[str, Any]] = [{}, {"lane": "qemu/tcg"}, {"unit": "s"}, {"host": host}, {"dimensions": {"a": 1}}]
    for number, changed in enumerate(changes):
        write_run(tmp_path, number, [value_record("cold_boot", 5.0, **changed)])
    found = read_history(run_directories(tmp_path))
    assert [len(each.points) for each in found.series] == [1] * len(changes)
    assert found.problems == []


UNTRUSTED: dict[str, tuple[dict[str, Any], str]] = {
    "no end": ({"session": {"ended": None}}, "it has no end"),
    "a crash": ({"session": {"exit_status": 3}}, "not all of it ran"),
    "a newer suite": ({"format": 99}, "of format 99"),
    "a clock that went back": ({"session": {"ended": "2025-12-31T00:00:00+00:00"}}, "the clock went back"),
    "a clock that is ahead": (
        {"session": {"started": "2199-01-01T00:00:00+00:00", "ended": "2199-01-01T00:00:00+00:00"}},
        "began in the future",
    ),
    "no time": ({"session": {"started": "yesterday"}}, "'yesterday' is not a time"),
    "no time zone": ({"session": {"started": "2026-01-01T00:00:00"}}, "without a time zone"),
}


@pytest.mark.parametrize("kind", UNTRUSTED)
def test_an_untrusted_run_is_left_out_and_named(tmp_path: Path, kind: str) -> None:
    changes, said = UNTRUSTED[kind]
    write_run(tmp_path, 1, [value_record("cold_boot", 5.0)])
    write_run(tmp_path, 2, [value_record("cold_boot", 6.0)], **changes)
    found = read_history(run_directories(tmp_path))
    assert [point.run for point in found.series[0].points] == ["run-0001"]
    (problem,) = found.problems
    assert problem.startswith("run-0002: left out: ")
    assert said in problem


def test_edited_copied_and_damaged_values_are_left_out(tmp_path: Path) -> None:
    for number in (1, 2):
        write_run(tmp_path, number, [value_record("cold_boot", 5.0 + number)])
    shutil.copytree(tmp_path / "run-0001", tmp_path / "a-copy")
    (tmp_path / "latest").symlink_to("run-0002")
    with (tmp_path / "run-0002" / RECORDS_FILE).open("a") as stream:
        stream.write("\n")
    nan = write_run(tmp_path, 3, [value_record("cold_boot", float("nan"))])
    twice = write_run(tmp_path, 4, [value_record("cold_boot", 1.0), value_record("cold_boot", 2.0)])
    found = read_history(run_directories(tmp_path))
    said = "\n".join(found.problems)
    for part in (
        "run-0001: left out: a copy of",
        "run-0002: left out: records.jsonl: changed",
        f"{nan.name}: records",
        f"{twice.name}: cold_boot: measured 2 times",
    ):
        assert part in said
    assert [point.run for point in found.series[0].points] == ["a-copy"]


def test_the_runs_before_a_run_are_the_latest_of_them(tmp_path: Path) -> None:
    directories = [write_run(tmp_path, number, [value_record("cold_boot", 5.0)]) for number in range(6)]
    assert runs_up_to(directories[4], 3) == directories[2:5]
    assert runs_up_to(directories[0], 3) == directories[:1]
    (directories[0] / RUN_FILE).unlink()
    assert runs_up_to(directories[0], 3) == []


def test_saved_benchmarks_are_read_once_for_all_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Path] = []
    usual = SavedBenchmarks.__init__

    def counted(self: SavedBenchmarks, path: Path) -> None:
        made.append(path)
        usual(self, path)

    monkeypatch.setattr(SavedBenchmarks, "__init__", counted)
    for number in range(5):
        write_run(tmp_path, number, [value_record("cold_boot", 5.0)])
    read_history(run_directories(tmp_path))
    assert made == [tmp_path]


def run_trend(*words: str) -> str:
    result = CliRunner().invoke(app, ["trend", *words], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def calls_to_judge(home: Path, count: int) -> int:
    """How many function calls so many runs take until their changes are known: a cost that is the same everywhere."""
    write_runs(home, count, step_at=count * 6 // 10, factor=1.2)
    with cProfile.Profile(builtins=False) as profile:
        for found in read_history(run_directories(home)).series:
            change_points(found)
    return sum(entry.callcount for entry in profile.getstats())


def test_the_cost_grows_with_the_number_of_runs_and_no_faster(tmp_path: Path) -> None:
    calls_to_judge(tmp_path / "first", FEW)  # It loads the libraries.
    few_calls = calls_to_judge(tmp_path / "few", FEW)
    assert calls_to_judge(tmp_path / "more", 10 * FEW) <= 10 * few_calls


def test_a_thousand_runs_are_drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HORNET_HOME", str(tmp_path))
    write_runs(tmp_path / "reports", MANY, step_at=600, factor=1.2)
    before_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    shown = run_trend()
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024 - before_mib < LIMIT_MIB
    assert f"{MANY} runs: " in shown
    page = (tmp_path / "reports" / "trend" / "trend.html").read_text()
    assert 'href="../run-0600"' in page
    assert "new kernel" in page


def test_the_command_prints_json_of_several_homes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HORNET_HOME", str(tmp_path / "one"))
    write_run(tmp_path / "one" / "reports", 1, [value_record("cold_boot", 5.0)])
    write_run(tmp_path / "two", 2, [value_record("cold_boot", 6.0)])
    homes = ["--home", str(tmp_path / "one"), "--home", str(tmp_path / "two")]
    shown = json.loads(run_trend("cold_boot", "--json", *homes))
    assert [point["value"] for point in shown["trend"]["series"][0]["series"]["points"]] == [5.0, 6.0]


@pytest.mark.parametrize(("words", "said"), [(["cold_bot"], "did you mean cold_boot"), ([], "no run")])
def test_nothing_to_show_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], said: str
) -> None:
    monkeypatch.setenv("HORNET_HOME", str(tmp_path))
    if words:
        write_run(tmp_path / "reports", 1, [value_record("cold_boot", 5.0)])
    with pytest.raises(HostError, match=said):
        CliRunner().invoke(app, ["trend", *words], catch_exceptions=False)


def test_hostile_names_of_runs_are_text_on_the_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HORNET_HOME", str(tmp_path))
    made = write_run(tmp_path / "reports", 1, [value_record("cold_boot", 5.0)])
    made.rename(made.with_name('"><script>x\x1b[31m'))
    run_trend("cold_boot")
    page = (tmp_path / "reports" / "trend" / "trend.html").read_bytes()
    assert b"<script>" not in page
    assert b"\x1b" not in page
