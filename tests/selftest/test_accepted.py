"""A spec accepts a failing test by name: it is shown as accepted, never as passed, and nothing else is swallowed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from hornet.installation import SOURCE
from hornet.results.junit import Case, read_junit
from hornet.results.run import load_run
from hornet.spec.model import load_spec
from reports.generate import build_report
from reports.summary import summarize
from tests.support import synthetic_run as synthetic

SAMPLE = """
import pytest
from hornet_fixtures.assertions import assert_no_problems

def test_accepted():
    assert_no_problems(["vm1: its clock is late"])

@pytest.mark.parametrize("case", ["a", "b"])
def test_accepted_cases(case):
    assert_no_problems(["late"] if case == "a" else [])

def test_other():
    assert_no_problems(["vm1: its clock is late"])

def test_broken():
    raise OSError("the guest could not be asked")
"""
OVERLAY = """
[accepted]
test_accepted = "old kernel"
test_accepted_cases = "old kernel"
test_broken = "old kernel"
"""


def run_sample(directory: Path, overlay: str, *options: str) -> subprocess.CompletedProcess[str]:
    (directory / "test_sample.py").write_text(SAMPLE)
    (directory / "overlay.toml").write_text(overlay)
    words = [
        *(sys.executable, "-m", "pytest", "-q", "-p", "hornet_fixtures.plugin", f"--rootdir={directory}"),
        *(f"--overlay={directory}/overlay.toml", f"--junitxml={directory}/junit.xml", f"--run-dir={directory}/run"),
        *(*options, f"{directory}/test_sample.py"),
    ]
    return subprocess.run(words, cwd=SOURCE, capture_output=True, text=True, timeout=120, check=False)


def test_only_a_failed_verdict_is_accepted(tmp_path: Path) -> None:
    run_sample(tmp_path, OVERLAY)
    cases: dict[str, Case] = {case.name: case for case in read_junit(tmp_path / "junit.xml")}
    assert cases["test_accepted"].accepted
    assert cases["test_accepted"].message == "accepted: old kernel"
    assert cases["test_accepted_cases[a]"].accepted
    assert cases["test_accepted_cases[b]"].outcome == "passed"
    assert cases["test_other"].outcome == "failed"
    assert cases["test_broken"].outcome == "error", "that a test could not judge is no verdict"


def test_one_case_is_accepted_and_the_others_are_not(tmp_path: Path) -> None:
    run_sample(tmp_path, '[accepted]\n"test_accepted_cases[a]" = "old kernel"\n')
    cases = {case.name: case for case in read_junit(tmp_path / "junit.xml")}
    assert cases["test_accepted_cases[a]"].accepted
    assert not cases["test_accepted"].accepted
    done = run_sample(tmp_path, '[accepted]\n"test_accepted_cases[c]" = "old kernel"\n')
    assert "accepted.test_accepted_cases[c]: no test has this name; did you mean test_accepted_cases[" in done.stderr


def test_an_accepted_name_that_no_test_has_is_an_error(tmp_path: Path) -> None:
    done = run_sample(tmp_path, '[accepted]\ntest_acceptd = "old kernel"\n')
    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    assert "accepted.test_acceptd: no test has this name; did you mean test_accepted" in done.stderr


def test_names_of_the_suite_and_of_deselected_tests_are_known(tmp_path: Path) -> None:
    overlay = '[accepted]\n"test_clones_are_safe[seed_files]" = "old kernel"\ntest_other = "old kernel"\n'
    done = run_sample(tmp_path, overlay, "-k", "accepted_cases")
    assert "3 deselected" in done.stdout, done.stderr
    assert done.returncode == pytest.ExitCode.TESTS_FAILED


def test_the_report_shows_what_is_accepted(tmp_path: Path) -> None:
    accepted = ("tests.conformance.test_hazards", "test_the_clock", "skipped", "accepted: an old kernel")
    run = synthetic.make_run(tmp_path / "run", cases=[*synthetic.CASES, accepted])
    spec = load_spec()
    report = summarize(load_run(run), spec)
    assert [case.name for case in report.accepted] == ["test_the_clock"]
    assert "1 failed but accepted by the spec" in report.headline[1]
    paths = build_report(run, spec)
    for path in (paths.html, paths.markdown):
        assert "accepted: an old kernel" in path.read_text()
