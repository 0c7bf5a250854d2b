"""Named baselines: a copy that outlives its run, and nothing that cannot be compared with."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from hornet.errors import HostError
from hornet.results.baselines import Baselines
from hornet.results.run import load_run
from hornet_cli.app import app
from tests.support import synthetic_run as synthetic


@pytest.fixture
def reports(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The directory of two runs, `one` and `two`."""
    monkeypatch.setenv("HORNET_HOME", str(tmp_path))
    for name in ("one", "two"):
        synthetic.make_run(tmp_path / "reports" / name)
    return tmp_path / "reports"


def hornetos(*words: str) -> str:
    result = CliRunner().invoke(app, list(words), catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def test_a_baseline_outlives_its_run_and_is_compared_with(reports: Path) -> None:
    records = load_run(reports / "one").records
    hornetos("baseline", "save", "release-3", "one")
    shutil.rmtree(reports / "one")
    copy = load_run(reports.parent / "baselines" / "release-3" / "one")
    assert (copy.problems, copy.records) == ([], records)
    hornetos("report", "two", "--baseline", "release-3")
    assert json.loads((reports / "two" / "report.json").read_text())["baseline"] == "one"


def test_the_one_in_use_is_compared_with(reports: Path) -> None:
    def compared() -> str | None:
        hornetos("report", "two")
        found: str | None = json.loads((reports / "two" / "report.json").read_text())["baseline"]
        return found

    hornetos("baseline", "save", "first", "one")
    assert compared() is None
    hornetos("baseline", "use", "first")
    assert compared() == "one"
    assert json.loads(hornetos("baseline", "list", "--json")) == [{"name": "first", "run": "one", "in_use": True}]
    hornetos("baseline", "use", "--none")
    assert compared() is None
    hornetos("baseline", "use", "first")
    hornetos("baseline", "remove", "first")
    assert compared() is None


def test_benchmarks_of_the_run_are_kept(reports: Path) -> None:
    (reports / "benchmarks").mkdir()
    info = {"run": "one", "metric": "ssh_login", "lane": "qemu/tcg", "host": synthetic.HOST}
    entry = {"name": "x", "stats": {"median": 0.05}, "extra_info": info}
    (reports / "benchmarks" / "0001.json").write_text(json.dumps({"benchmarks": [entry]}))
    (reports / "benchmarks" / "0002.json").write_text(json.dumps({"benchmarks": []}))
    hornetos("baseline", "save", "first", "one")
    kept = reports.parent / "baselines" / "first"
    assert [path.name for path in (kept / "benchmarks").iterdir()] == ["0001.json"]
    assert "ssh_login" in {record.name for record in load_run(kept / "one").records}


@pytest.mark.parametrize("name", ["", "..", "a/b", "in-use", ".hidden", "a" * 101, "x\n"])
def test_what_is_no_name_is_refused(reports: Path, tmp_path: Path, name: str) -> None:
    with pytest.raises(HostError, match="is no name"):
        Baselines(tmp_path).save(name, reports / "one")


def test_a_taken_name_an_edited_run_and_an_unknown_name_are_refused(reports: Path, tmp_path: Path) -> None:
    (tmp_path / "kept").mkdir()
    known = Baselines(tmp_path / "kept")
    known.save("first", reports / "one")
    with pytest.raises(HostError, match="exists"):
        known.save("first", reports / "two")
    (reports / "two" / "records.jsonl").write_text("")
    with pytest.raises(HostError, match="changed after the run ended"):
        known.save("second", reports / "two")
    assert known.names() == ["first"]
    for refused in (known.run, known.use, known.remove):
        with pytest.raises(HostError, match="did you mean first"):
            refused("fist")


def test_use_needs_a_name_or_none(reports: Path) -> None:
    assert CliRunner().invoke(app, ["baseline", "use"]).exit_code == 2
