"""`hornetos records`: every sample of a run comes out once, with the record's own numbers."""

from __future__ import annotations

import io
from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner

from hornet.errors import HostError
from hornet.results.run import load_run
from hornet_cli.app import app
from reports.frames import records_frame
from tests.support.synthetic_run import make_run


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HORNET_HOME", str(tmp_path))
    directory = tmp_path / "reports" / "one"
    make_run(directory)
    return directory


def test_each_sample_has_one_row(run: Path) -> None:
    loaded = load_run(run)
    frame = records_frame([loaded])
    assert len(frame) == sum(len(record.samples) or 1 for record in loaded.records)
    restore = next(record for record in loaded.records if record.name == "snapshot_restore")
    same = (frame["lane"] == restore.lane) & (frame["dim_page_cache"] == restore.dimensions["page_cache"])
    rows = frame[(frame["metric"] == "snapshot_restore") & same]
    assert list(rows["value"]) == restore.samples


def test_two_runs_stay_apart(run: Path) -> None:
    other = run.with_name("two")
    make_run(other)
    frame = records_frame([load_run(run), load_run(other)])
    assert frame.groupby("run").size().to_dict() == {"one": len(frame) // 2, "two": len(frame) // 2}


def test_the_command_prints_csv(run: Path) -> None:
    result = CliRunner().invoke(app, ["records", "one"])
    assert result.exit_code == 0, result.output
    assert len(pd.read_csv(io.StringIO(result.output))) == len(records_frame([load_run(run)]))


def test_the_command_writes_csv(run: Path, tmp_path: Path) -> None:
    target = tmp_path / "out.csv"
    result = CliRunner().invoke(app, ["records", "one", "--csv", str(target)])
    assert result.output.startswith(f"{len(pd.read_csv(target))} samples of ")


def test_a_run_without_records_is_an_error(run: Path) -> None:
    (run / "records.jsonl").write_text("")
    with pytest.raises(HostError, match="no records"):
        CliRunner().invoke(app, ["records", "one"], catch_exceptions=False)
