"""A test that is left out, however that happens, is named as not run; nothing turns green by running less."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from hornet.installation import SOURCE
from hornet.results.collected import (
    COLLECTED_FILE,
    IMAGE_SUITES,
    image_modules,
    not_run,
    note_collected,
    read_collected,
)
from hornet.results.outcomes import EVIDENCE_PROPERTY, OUTCOMES_FILE, read_outcomes
from hornet.results.run_info import RUN_FILE, read_run_info, run_problems
from hornet_fixtures.outcomes import case_of

SAMPLE = """
import os, pytest

@pytest.mark.parametrize("case", ["a", "b"])
def test_first(case): pass

def test_second(): assert "FAIL" not in os.environ

def test_third():
    if "INTERRUPT" in os.environ:
        raise KeyboardInterrupt
    if "KILL" in os.environ:
        os.kill(os.getpid(), 9)
"""
# More than run.json, spec.json and collected.json of MANY take, less than its outcomes.
MANY_BYTES = 130_000
MODULE = "conformance/test_sample"
ALL = {"test_first[a]", "test_first[b]", "test_second", "test_third"}


def run_sample(directory: Path, *options: str, **environment: str) -> Path:
    """The run directory of a sample that lies where conformance would."""
    folder = directory / "tests" / "conformance"
    folder.mkdir(parents=True)
    (folder / "test_sample.py").write_text(SAMPLE)
    words = [sys.executable, "-m", "pytest", "-q", "-p", "hornet_fixtures.plugin", f"--rootdir={directory}"]
    words += [f"--run-dir={directory}/run", *options, str(folder)]
    settings = {"PATH": "/usr/bin:/bin:/usr/sbin", "PYTHONPATH": str(SOURCE), "HORNET_HOME": str(directory / "home")}
    subprocess.run(words, cwd=SOURCE, env={**settings, **environment}, capture_output=True, timeout=120, check=False)
    return directory / "run"


def left_out(run: Path) -> list[str]:
    collected = {MODULE: read_collected(run / COLLECTED_FILE)[MODULE]}
    results = run / OUTCOMES_FILE
    cases = read_outcomes(results)[0] if results.exists() else []
    return not_run(collected, {case.test for case in cases})


def test_a_whole_run_leaves_nothing_out(tmp_path: Path) -> None:
    run = run_sample(tmp_path)
    assert set(read_collected(run / COLLECTED_FILE)[MODULE]) == ALL
    assert left_out(run) == []


@pytest.mark.parametrize(
    ("options", "environment", "missing"),
    [
        (["-k", "second"], {}, 3),
        (["--deselect=tests/conformance/test_sample.py::test_third"], {}, 1),
        (["-x"], {"FAIL": "1"}, 1),
        (["--maxfail=1"], {"FAIL": "1"}, 1),
        ([], {"PYTEST_ADDOPTS": "-k first"}, 2),
        ([], {"INTERRUPT": "1"}, 1),
        ([], {"KILL": "1"}, 1),
        (["-n", "1", "-k", "second"], {}, 3),
        (["-m", "slow"], {}, 4),
    ],
    ids=["-k", "--deselect", "-x", "--maxfail", "PYTEST_ADDOPTS", "interrupted", "killed", "workers", "-m"],
)
def test_what_is_left_out_is_named(
    options: list[str], environment: dict[str, str], missing: int, tmp_path: Path
) -> None:
    (sentence,) = left_out(run_sample(tmp_path, *options, **environment))
    assert sentence.startswith(f"{MODULE}: not run: {missing} of {len(ALL)} tests: ")


def test_every_module_that_judges_an_image_is_expected(tmp_path: Path) -> None:
    note_collected(tmp_path, {"conformance/test_tools::test_one": []})
    collected = read_collected(tmp_path / COLLECTED_FILE)
    assert set(image_modules()) <= set(collected)
    assert len(not_run(collected, set())) == len(collected)
    assert {module.partition("/")[0] for module in image_modules()} == set(IMAGE_SUITES)


def test_two_parts_of_a_run_add_up(tmp_path: Path) -> None:
    note_collected(tmp_path, {"conformance/test_tools::test_one": ["tool-git"]})
    note_collected(tmp_path, {"conformance/test_tools::test_two": [], "selftest/test_x::test_y": []})
    collected = read_collected(tmp_path / COLLECTED_FILE)
    assert collected["conformance/test_tools"] == {"test_one": ["tool-git"], "test_two": []}
    assert collected["selftest/test_x"] == {"test_y": []}


@pytest.mark.parametrize(
    ("environment", "named"),
    [({}, ""), ({"INTERRUPT": "1"}, "it ended with exit code "), ({"KILL": "1"}, "it has no end: it was killed")],
    ids=["whole", "interrupted", "killed"],
)
def test_a_run_says_how_it_ended(environment: dict[str, str], named: str, tmp_path: Path) -> None:
    run = run_sample(tmp_path, **environment)
    problems = run_problems(run, read_run_info(run / RUN_FILE))
    assert [named in problem for problem in problems] == ([True] if named else [])


MANY = """
import pytest
@pytest.mark.parametrize("case", range(1200))
def test_first(case): pass
"""


def test_a_disk_that_gets_full_ends_the_run_with_a_sentence(tmp_path: Path) -> None:
    """The limit on the size of a file stands for the disk: writing beyond it is an error in the same way."""
    folder = tmp_path / "tests" / "conformance"
    folder.mkdir(parents=True)
    (folder / "test_sample.py").write_text(MANY)
    words = ["prlimit", f"--fsize={MANY_BYTES}", sys.executable, "-m", "pytest", "-q", "-p", "hornet_fixtures.plugin"]
    words += [f"--rootdir={tmp_path}", f"--run-dir={tmp_path}/run", str(folder)]
    ended = subprocess.run(words, cwd=SOURCE, capture_output=True, text=True, timeout=120, check=False)
    assert ended.returncode == 2
    assert "results are lost: " in ended.stdout
    assert "Traceback" not in ended.stdout + ended.stderr
    assert "INTERNALERROR" not in ended.stdout + ended.stderr
    problems = run_problems(tmp_path / "run", read_run_info(tmp_path / "run" / RUN_FILE))
    assert any("it has no end" in problem for problem in problems)


def test_evidence_outside_the_run_is_not_linked() -> None:
    report = pytest.TestReport("tests/x.py::test_x", ("tests/x.py", 0, "test_x"), {}, "passed", None, "call")
    report.user_properties = [(EVIDENCE_PROPERTY, path) for path in ("evidence/1-test_x-vm1", "../logs/vms/1", "/etc")]
    assert case_of([report]).evidence == ("evidence/1-test_x-vm1",)
