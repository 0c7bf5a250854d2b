"""Runs that are narrower on purpose: --quick, --rerun-failed, and the list of runs. None of them is green by that."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from hornet.errors import HostError
from hornet.host.workspace import Workspace
from hornet.installation import SOURCE
from hornet.results.gate import Demands, decide
from hornet.results.outcomes import Case, Result
from hornet.results.rerun import Again, failed_or_missing, repeated_tests
from hornet.results.run import Run, load_run
from hornet.spec.model import load_spec
from hornet.spec.requirements import load_requirements
from hornet_cli.app import app
from hornet_cli.context import Settings
from hornet_cli.judging import show_decision, show_quick
from hornet_cli.run import _first_run
from reports import build_report
from tests.support import synthetic_run as synthetic

FAILED = Case(test="conformance/test_x::test_a", result=Result.FAILED, reason="no git")
ERROR = Case(test="network/test_x::test_b", result=Result.ERROR, reason="no answer")
SKIPPED = Case(test="procedures/test_x::test_c", result=Result.NOT_JUDGED, reason="not judged: read-only")
PASSED = Case(test="conformance/test_x::test_d", result=Result.PASSED)
MEASURED = Case(test="perf/test_x::test_e", result=Result.PASSED)
EMULATED = Case(test="perf/test_x::test_f", result=Result.NOT_JUDGED, reason="emulated", needs_kvm=True)
OWN = Case(test="selftest/test_x::test_g", result=Result.FAILED, reason="broken")


def run_of(*cases: Case, not_run: tuple[Case, ...] = (), modules: tuple[str, ...] = ()) -> Run:
    collected = synthetic.collected_in([*cases, *not_run]) | {module: {} for module in modules}
    return Run(Path("first"), cases=list(cases), collected=collected)


@pytest.mark.parametrize(
    ("run", "expected"),
    [
        (run_of(FAILED, ERROR, SKIPPED, PASSED, EMULATED, OWN), {FAILED.test, ERROR.test, SKIPPED.test}),
        (run_of(PASSED, not_run=(FAILED, OWN)), {FAILED.test}),
        (run_of(PASSED, modules=("network/test_y", "selftest/test_y")), {"network/test_y"}),
        (run_of(MEASURED, not_run=(EMULATED,)), {EMULATED.test, "perf/test_x"}),
        (run_of(PASSED, MEASURED, EMULATED), set()),
    ],
    ids=["failed", "not run", "module not collected", "measurements together", "nothing"],
)
def test_what_did_not_pass_is_repeated(run: Run, expected: set[str]) -> None:
    assert failed_or_missing(run) == expected


def passed(case: Case) -> Case:
    return case.model_copy(update={"result": Result.PASSED, "reason": ""})


def test_failure_that_passes_later_is_flaky() -> None:
    first = run_of(FAILED, ERROR, SKIPPED, PASSED)
    second = run_of(passed(FAILED), ERROR, passed(SKIPPED), PASSED)
    lines = [f"{it.label}: {it}" for it in repeated_tests(first, second)]
    assert lines == [
        f"flaky: {FAILED.test}: failed, then passed: no git",
        f"repeated: {ERROR.test}: error, then error: no answer",
        f"repeated: {SKIPPED.test}: not judged, then passed: {SKIPPED.reason}",
    ]
    (missing, *_) = repeated_tests(first, run_of(PASSED))
    assert (missing.before, missing.after, missing.label) == (Result.FAILED, Result.NOT_RUN, Again.REPEATED)


SAMPLE = """
import os
from concurrent.futures import Future
import pytest
from hornet_fixtures.prefetch import prefetched

@pytest.fixture(scope="session")
@prefetched(start_s=0, done_s=1, quick=True)
def facts_future(): return Future()

@pytest.fixture(scope="session")
@prefetched(start_s=0, done_s=1)
def lineage_future(): return Future()

@pytest.fixture
def new_fleet(): pass

def test_file(): pass
def test_facts(facts_future): assert "FAIL" not in os.environ
def test_clones(lineage_future, facts_future): pass
def test_own_vm(new_fleet): pass
"""


def run_sample(directory: Path, name: str, *options: str, **environment: str) -> Run:
    folder = directory / "tests" / "conformance"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "test_sample.py").write_text(SAMPLE)
    words = [sys.executable, "-m", "pytest", "-q", "-p", "hornet_fixtures.plugin", f"--rootdir={directory}"]
    words += [f"--run-dir={directory}/{name}", *options, str(folder)]
    settings = {"PATH": "/usr/bin:/bin:/usr/sbin", "PYTHONPATH": str(SOURCE), "HORNET_HOME": str(directory / "home")}
    subprocess.run(words, cwd=SOURCE, env={**settings, **environment}, capture_output=True, timeout=120, check=False)
    return load_run(directory / name)


def names(run: Run) -> set[str]:
    return {case.name for case in run.cases}


def test_quick_run_names_what_it_leaves_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = run_sample(tmp_path, "quick", "--quick")
    assert names(run) == {"test_file", "test_facts"}
    decision = decide(load_spec(), run, Demands(load_requirements()))
    assert decision.answer.exit_code == 2
    show_quick(run, decision)
    said = capsys.readouterr().out
    assert "quick: 2 tests ran; left out, in whole or in part: conformance/test_" in said
    assert "conformance/test_sample" in said
    assert said.rstrip().endswith("quick: no release without a complete run: hornetos run")
    assert {"procedures", "network", "perf"} <= set(said.split("in part: ")[1].split("\n")[0].split(", "))


def test_rerun_repeats_only_what_failed_and_names_the_first_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = run_sample(tmp_path, "first", FAIL="1")
    second = run_sample(tmp_path, "second", f"--rerun-of={first.directory}")
    assert names(second) == {"test_facts"}
    assert second.info
    assert second.info.rerun_of == str(first.directory)
    assert [it.label for it in repeated_tests(first, second) if it.before is Result.FAILED] == [Again.FLAKY]
    decision = decide(load_spec(), second, Demands(load_requirements()))
    assert decision.answer.exit_code == 2, "too little ran"
    show_decision(second, decision)
    said = "flaky: rerun of first: conformance/test_sample::test_facts: failed, then passed"
    assert said in capsys.readouterr().out
    report = build_report(second.directory, load_spec(), Demands(load_requirements()))
    assert said.removeprefix("flaky: ") in report.html.read_text()
    assert "- flaky: rerun of first" in report.markdown.read_text()
    assert decide(load_spec(), first, Demands(load_requirements())).answer.exit_code == 1, "the failure stays"
    first.directory.rename(tmp_path / "moved")
    show_decision(second, decision)
    assert "rerun of first: that run is gone" in capsys.readouterr().out


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    monkeypatch.setenv("HORNET_HOME", str(tmp_path))
    return Workspace(tmp_path)


def test_run_that_cannot_be_repeated_is_rejected(home: Workspace) -> None:
    synthetic.make_run(home.reports / "green")
    synthetic.make_run(home.reports / "red", cases=[*synthetic.CASES, FAILED])
    mine = Settings(home)
    assert _first_run(mine, "red", "standard", quick=False).name == "red"
    for name, tier, quick, named in (
        ("green", "standard", False, "nothing to repeat"),
        ("red", "micro", False, "of tier standard"),
        ("red", "standard", True, "exclude each other"),
        ("none", "standard", False, "no such run"),
    ):
        with pytest.raises(HostError, match=named):
            _first_run(mine, name, tier, quick=quick)
    overlay = home.root / "overlay.toml"
    overlay.write_text("[machine]\nmemory_mib = 128\n")
    with pytest.raises(HostError, match="its specification differs from this one"):
        _first_run(Settings(home, None, (overlay,)), "red", "standard", quick=False)


@pytest.mark.parametrize(
    ("words", "run"),
    [(["--rerun-failed"], "latest"), (["--rerun-failed", "--tier", "micro"], "latest"), (["--rerun-failed", "x"], "x")],
)
def test_option_without_a_run_means_the_latest(words: list[str], run: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hornet.host.facts.require_root", lambda: None)
    monkeypatch.setattr("hornet.host.tools.require_tools", lambda tools: None)
    asked: list[str] = []

    def first_run(mine: Settings, name: str, tier: str, *, quick: bool) -> Run:
        asked.append(name)
        raise HostError("enough")

    monkeypatch.setattr("hornet_cli.run._first_run", first_run)
    CliRunner().invoke(app, ["run", *words])
    assert asked == [run]


def test_runs_are_listed_with_their_verdicts(home: Workspace) -> None:
    cases, records = synthetic.green_cases(load_requirements().values()), synthetic.met_records(load_spec())
    synthetic.make_run(home.reports / "20260101-000000", cases=cases, records=records)
    synthetic.make_run(home.reports / "20260102-000000", cases=[*cases, FAILED], records=records)
    synthetic.make_run(home.reports / "20260103-000000", run__json="{}")
    (home.reports / "latest").symlink_to("20260103-000000")
    listed = json.loads(CliRunner().invoke(app, ["runs", "--json"]).stdout)
    assert [(row["name"], row["verdict"]) for row in listed] == [
        ("20260103-000000", "not judged"),
        ("20260102-000000", "failed"),
        ("20260101-000000", "passed"),
    ]
    assert (listed[2]["tier"], listed[2]["lane"]) == ("standard", "qemu/kvm")
    assert listed[2]["duration_s"] >= 0
    shown = CliRunner().invoke(app, ["runs"])
    assert (shown.exit_code, len(shown.stdout.splitlines())) == (0, 4)


def test_home_without_runs_says_what_to_do(home: Workspace) -> None:
    assert "next: hornetos run" in CliRunner().invoke(app, ["runs"]).stdout
