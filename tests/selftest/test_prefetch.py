"""Work on guests is begun before the first test, for whoever needs it; what fails is the business of its own test."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from hornet.installation import SOURCE
from hornet.results.outcomes import OUTCOMES_FILE, read_outcomes

# Plays the guests. The names of its fixtures are of no importance.
CONFTEST = """
import pathlib
from concurrent.futures import Future
import pytest
from hornet_fixtures.prefetch import prefetched, ready_s, start_all

def log(line):
    with open(pathlib.Path(__file__).parent / "log", "a") as stream:
        stream.write(line + "\\n")

@pytest.fixture(scope="session", autouse=True)
def _begin(request):
    start_all(request)

def pytest_collection_modifyitems(items):
    items.sort(key=ready_s)

@pytest.fixture(scope="session")
@prefetched(start_s=1, done_s=2)
def lineage_future():
    log("lineage")
    raise OSError("no clone answers")

@pytest.fixture(scope="session")
@prefetched(start_s=2, done_s=3)
def facts_future():
    log("facts")
    future = Future()
    future.set_result("Linux")
    return future

@pytest.fixture(scope="session")
@prefetched(start_s=0, done_s=1)
def read_only_root_future():
    log("read-only root")
"""
TESTS = """
from conftest import log

def test_facts(facts_future):
    assert facts_future.result() == "Linux"

def test_lineage(lineage_future):
    pass

def test_file():
    log("first test")
"""


def run_sample(directory: Path, *options: str) -> None:
    (directory / "conftest.py").write_text(CONFTEST)
    (directory / "test_sample.py").write_text(TESTS)
    words = [sys.executable, "-m", "pytest", "-q", "-p", "hornet_fixtures.plugin", f"--rootdir={directory}"]
    words += [f"--run-dir={directory}/run", *options]
    subprocess.run([*words, f"{directory}/test_sample.py"], cwd=SOURCE, capture_output=True, timeout=120, check=False)


def test_prefetch_runs_first_and_fails_only_dependent_tests(tmp_path: Path) -> None:
    run_sample(tmp_path)
    assert (tmp_path / "log").read_text().split("\n")[:3] == ["lineage", "facts", "first test"], (
        "no test needs the read-only root"
    )
    cases = [(case.name, case.result) for case in read_outcomes(tmp_path / "run" / OUTCOMES_FILE)[0]]
    assert cases == [("test_file", "passed"), ("test_lineage", "error"), ("test_facts", "passed")]


def test_xdist_worker_starts_only_what_its_tests_need(tmp_path: Path) -> None:
    run_sample(tmp_path, "-n", "2", "--dist=loadfile", "-k", "file or facts")
    assert (tmp_path / "log").read_text().split("\n")[:2] == ["first test", "facts"]
