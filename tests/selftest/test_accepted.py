"""A spec accepts a failing test by name: it is shown as accepted, never as passed, and nothing else is swallowed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

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


def run_sample(directory: Path) -> dict[str, Case]:
    (directory / "test_sample.py").write_text(SAMPLE)
    (directory / "overlay.toml").write_text(OVERLAY)
    words = [
        *(sys.executable, "-m", "pytest", "-q", "-p", "hornet_fixtures.plugin", f"--rootdir={directory}"),
        *(f"--overlay={directory}/overlay.toml", f"--junitxml={directory}/junit.xml", f"--run-dir={directory}/run"),
    ]
    subprocess.run([*words, f"{directory}/test_sample.py"], cwd=SOURCE, capture_output=True, timeout=120, check=False)
    return {case.name: case for case in read_junit(directory / "junit.xml")}


def test_only_a_failed_verdict_is_accepted(tmp_path: Path) -> None:
    cases = run_sample(tmp_path)
    assert cases["test_accepted"].accepted
    assert cases["test_accepted"].message == "accepted: old kernel"
    assert cases["test_accepted_cases[a]"].accepted
    assert cases["test_accepted_cases[b]"].outcome == "passed"
    assert cases["test_other"].outcome == "failed"
    assert cases["test_broken"].outcome == "error", "that a test could not judge is no verdict"


def test_the_report_shows_what_is_accepted(tmp_path: Path) -> None:
    accepted = ("tests.conformance.test_hazards", "test_the_clock", "skipped", "accepted: an old kernel")
    run = synthetic.make_run(tmp_path / "run", cases=[*synthetic.CASES, accepted])
    spec = load_spec()
    report = summarize(load_run(run), spec)
    assert [case.name for case in report.accepted] == ["test_the_clock"]
    assert "1 failed and accepted by the spec" in report.headline[1]
    paths = build_report(run, spec)
    for path in (paths.html, paths.markdown):
        assert "accepted: an old kernel" in path.read_text()
