"""`hornetos records`: every sample of a run comes out once, with the record's own numbers."""

from __future__ import annotations

import io
import re
from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner

from hornet.errors import HostError
from hornet.installation import SOURCE
from hornet.results.run import load_run
from hornet_cli.app import app
from reports.frames import records_frame, samples_of
from tests.support.synthetic_run import CASES, make_run


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


def test_the_command_writes_json_lines(run: Path, tmp_path: Path) -> None:
    target = tmp_path / "out.jsonl"
    CliRunner().invoke(app, ["records", "one", "--jsonl", str(target)])
    assert len(pd.read_json(target, lines=True)) == len(records_frame([load_run(run)]))


def test_the_command_writes_parquet_with_types(run: Path, tmp_path: Path) -> None:
    pytest.importorskip("pyarrow", reason="not judged: no pyarrow: pip install 'hornetos-suite[parquet]'")
    target = tmp_path / "out.parquet"
    CliRunner().invoke(app, ["records", "one", "--parquet", str(target)])
    pd.testing.assert_frame_equal(pd.read_parquet(target).convert_dtypes(), records_frame([load_run(run)]))


def test_the_example_of_the_docs_works(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = (SOURCE / "docs" / "own-plots.md").read_text()
    (example,) = [code for code in re.findall(r"```python\n(.*?)```", text, re.DOTALL) if "samples_of" in code]
    run.rename(run.with_name("20260101-000000"))
    monkeypatch.chdir(run.parents[1])
    (run.parents[1] / ".hornet").symlink_to(".")
    names: dict[str, pd.DataFrame] = {}
    exec(example, names)
    assert len(names["samples"]) == len(records_frame([load_run(run.with_name("20260101-000000"))]))
    assert set(names["slowest"]["test"]) <= {case.test for case in CASES}
    with pytest.raises(HostError, match="no run directory"):
        samples_of("nothing*")


def test_a_run_without_records_is_an_error(run: Path) -> None:
    (run / "records.jsonl").write_text("")
    with pytest.raises(HostError, match="no records"):
        CliRunner().invoke(app, ["records", "one"], catch_exceptions=False)
