"""`hornetos gate` on run directories: what is missing, damaged, edited or of others is named, and never green."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner
from typer.testing import Result as Ended

from hornet.errors import HornetError
from hornet.results.collected import COLLECTED_FILE
from hornet.results.outcomes import OUTCOMES_FILE, Case, Result
from hornet.results.records import RECORDS_FILE
from hornet.results.run_info import RUN_FILE, SPEC_FILE, end_session
from hornet.spec.model import load_spec
from hornet.spec.requirements import load_requirements
from hornet_cli.app import app
from tests.support import synthetic_run as synthetic

SPEC = load_spec()
WAIVER = '[{}]\nowner = "o"\nreason = "r"\n{} = {}\n'
CASES = synthetic.green_cases(load_requirements().values())
RECORDS = synthetic.met_records(SPEC)


def green(directory: Path, **changes: object) -> Path:
    return synthetic.make_run(directory, **{"cases": CASES, "records": RECORDS, **changes})


def gate(run: Path, *options: str) -> Ended:
    return CliRunner().invoke(app, ["gate", str(run), *options])


def exit_code_of(result: Ended) -> int:
    """The exit code of the process: main.py ends with 2 for an exception, click's runner with 1."""
    return 2 if isinstance(result.exception, HornetError) else result.exit_code


def test_a_green_run_passes(tmp_path: Path) -> None:
    result = gate(green(tmp_path / "run"))
    assert (result.exit_code, result.output.count("\n")) == (0, 1), result.output
    assert result.output.startswith("run run passed: ")


def edit(name: str, old: str, new: str) -> Callable[[Path], None]:
    def change(run: Path) -> None:
        text = (run / name).read_text()
        assert old in text
        (run / name).write_text(text.replace(old, new, 1))

    return change


def remove(name: str) -> Callable[[Path], None]:
    return lambda run: (run / name).unlink()


def truncate(name: str) -> Callable[[Path], None]:
    def change(run: Path) -> None:
        (run / name).write_bytes((run / name).read_bytes()[:-20])

    return change


def reopen(run: Path) -> None:
    edit(RUN_FILE, '"ended": "', '"ended": null, "x": "')(run)


def run_info(**changes: object) -> Callable[[Path], None]:
    def change(run: Path) -> None:
        info = json.loads((run / RUN_FILE).read_text())
        info["sessions"][-1] |= {key: value for key, value in changes.items() if key in info["sessions"][-1]}
        info |= {key: value for key, value in changes.items() if key in info}
        (run / RUN_FILE).write_text(json.dumps(info))

    return change


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (remove(OUTCOMES_FILE), "outcomes.jsonl: removed after the run ended"),
        (remove(RECORDS_FILE), "records.jsonl: removed after the run ended"),
        (remove(COLLECTED_FILE), "collected.json: removed after the run ended"),
        (remove(RUN_FILE), "run.json: no such file"),
        (remove(SPEC_FILE), "spec.json: removed after the run ended"),
        (truncate(OUTCOMES_FILE), "outcomes.jsonl: changed after the run ended"),
        (truncate(RUN_FILE), "run.json: not valid JSON"),
        (edit(OUTCOMES_FILE, '"passed"', '"failed"'), "outcomes.jsonl: changed after the run ended"),
        (edit(OUTCOMES_FILE, '"tool-git"', '"tool-gut"'), "outcomes.jsonl: changed after the run ended"),
        (edit(RECORDS_FILE, '"value": ', '"value": 0'), "records.jsonl"),
        (edit(SPEC_FILE, '"target": 8.0', '"target": 80.0'), "spec.json: changed after the run ended"),
        (run_info(format=99, suite="9.0"), "run.json: of format 99, this suite"),
        (run_info(ended=None, exit_status=None), "it has no end: it was killed, or is still running"),
        (run_info(exit_status=130), "it ended with exit code 130: not all of it ran"),
        (run_info(sessions=[]), "it lists no session: nothing ran"),
        (run_info(suite=3), "run.json: suite: "),
    ],
)
def test_a_run_that_is_incomplete_or_edited_is_not_green(
    change: Callable[[Path], None], named: str, tmp_path: Path
) -> None:
    run = green(tmp_path / "run")
    change(run)
    result = gate(run)
    assert result.exit_code in (1, 2), result.output
    assert named in result.output
    assert not any(line.startswith("run run passed") for line in result.output.splitlines())


@pytest.mark.parametrize(
    ("changes", "exit_code", "named"),
    [
        ({"collected__json": "{}"}, 2, "conformance: not run: collected.json lists none of its modules"),
        ({"collected__json": "[1]"}, 2, "collected.json: "),
        ({"outcomes__jsonl": ""}, 2, "not judged: tool-git: "),
        ({"outcomes__jsonl": "{}\n"}, 2, "outcomes.jsonl, line 1: "),
        ({"outcomes__jsonl": "[" * 99}, 2, "outcomes.jsonl, line 1: "),
        ({"records": []}, 2, "not judged: target-rootfs-size: "),
        ({"host__json": None}, 0, "missing from the run: "),
        ({"host__json": '{"cpu": "another"}'}, 2, "it has values of another host than host.json"),
        ({"policy__toml": "require_kvm = true\n"}, 0, "passed"),
        ({"policy__toml": "requires_kvm = true\n"}, 2, "did you mean require_kvm"),
        ({"policy__toml": "max_load_per_core = 0.01\n"}, 2, "its load was 0.1 per core"),
        (
            {"waivers__toml": WAIVER.format("tool-gut", "expires", "2099-01-01")},
            1,
            "did you mean tool-git",
        ),
        ({"waivers__toml": WAIVER.format("tool-git", "expire", "2099-01-01")}, 2, "did you mean expires?"),
        ({"waivers__toml": WAIVER.format("tool-git", "expires", '"soon"')}, 2, "tool-git.expires"),
        (
            {"waivers__toml": WAIVER.format("tool-git", "expires", "2000-01-01")},
            1,
            "expired on 2000-01-01",
        ),
    ],
)
def test_what_a_run_holds_decides(tmp_path: Path, changes: dict[str, object], exit_code: int, named: str) -> None:
    result = gate(green(tmp_path / "run", **changes))
    assert exit_code_of(result) == exit_code, result.output
    assert named in result.output + str(result.exception)


def test_a_directory_without_a_run_is_not_judged(tmp_path: Path) -> None:
    result = gate(tmp_path)
    assert result.exit_code == 2
    assert "run.json: no such file" in result.output


def test_a_run_is_judged_by_its_own_specification(tmp_path: Path) -> None:
    """A run under an overlay with a stricter target fails, though the overlay is not named again."""
    run = green(tmp_path / "run")
    spec = SPEC.model_dump(mode="json")
    spec["metrics"]["kernel_size"]["target"] = 1
    (run / SPEC_FILE).write_text(json.dumps(spec))
    end_session(run, 0, {}, [SPEC_FILE, OUTCOMES_FILE, RECORDS_FILE, COLLECTED_FILE])
    result = gate(run)
    assert result.exit_code == 1
    assert "failed: target-kernel-size: the kernel file takes at most 1 MB" in result.output


@pytest.fixture
def failed_run(tmp_path: Path) -> Path:
    def change(case: Case) -> Case:
        failed = {"result": Result.FAILED, "reason": "git: | not found <b>\x1b[31m"}
        return case.model_copy(update=failed if "tool-git" in case.requirements else {})

    return green(tmp_path / "run", cases=[change(case) for case in CASES])


def test_the_answer_is_written_for_other_programs(failed_run: Path, tmp_path: Path) -> None:
    files = {name: tmp_path / f"gate.{name}" for name in ("junit", "markdown", "prometheus")}
    result = gate(failed_run, "--json", *(f"--{name}={path}" for name, path in files.items()))
    assert result.exit_code == 1
    data = json.loads(result.output)
    assert (data["answer"], data["tier"]) == ("failed", "standard")
    assert [row["id"] for row in data["requirements"] if row["result"] == "failed"] == ["tool-git"]

    suite = ET.parse(files["junit"]).getroot()[0]
    assert (suite.get("failures"), suite.get("errors")) == ("2", "0")
    failed = [case for case in suite if case.find("failure") is not None]
    assert [str(case.get("name")).partition(":")[0] for case in failed] == ["tool-git", "decision"]

    summary = files["markdown"].read_text()
    assert summary.count("\n") <= 50, "a summary of one screen"
    assert "**failed**: tool-git: " in summary
    assert "\\| not found &lt;b&gt;" in summary

    metrics = files["prometheus"].read_text()
    assert 'hornetos_gate_exit_code{run="run",tier="standard"} 1' in metrics
    assert 'hornetos_requirements{result="failed"} 1' in metrics
    assert 'hornetos_measurement{name="kernel_size",unit="MB",lane="qemu/kvm",dimensions=""} 8.0' in metrics
    assert "\x1b" not in summary + metrics + files["junit"].read_text()


def test_a_place_that_cannot_be_written_is_named(failed_run: Path, tmp_path: Path) -> None:
    result = gate(failed_run, f"--junit={tmp_path}/none/junit.xml")
    assert exit_code_of(result) == 2
    assert f"{tmp_path}/none/junit.xml: No such file or directory" in str(result.exception)
