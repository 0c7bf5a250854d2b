"""A failure is a verdict; what could not be judged is an error, on the terminal, in outcomes.jsonl and as exit code."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from hornet.installation import SOURCE
from hornet.results.outcomes import OUTCOMES_FILE, Case, read_outcomes
from hornet_cli import test as tests_command
from hornet_fixtures.diagnostics import is_verdict

FOLDERS_OF_TESTS = ("conformance", "procedures", "network", "perf", "selftest", "guest")
SAMPLE = """
import os, time, pytest
from hornet.errors import BrokenSnapshotError, GuestError
from hornet.formats.image_tree import ImageTree
from hornet_fixtures.assertions import assert_no_problems

@pytest.fixture
def guest():
    raise GuestError("no answer", "look at its console")

@pytest.fixture
def untidy():
    yield
    raise OSError("could not be removed")

def check_that_breaks():
    assert_no_problems([{}["missing"]])

def assert_elsewhere():
    import unittest
    unittest.TestCase().assertTrue(False)

def test_failed_by_a_check(): assert_no_problems(["vm1: no sshd"])
def test_failed_by_an_assertion(): assert os.sep == "x"
def test_failed_by_what_was_not_refused():
    with pytest.raises(OSError):
        pass
def test_failed_by_a_seal(): raise BrokenSnapshotError("vm.mem: 3 bytes, sealed with 4")
def test_error_in_a_check(): check_that_breaks()
def test_error_of_the_host(): open("/nowhere/at/all")
def test_error_of_a_guest(): raise GuestError("no answer")
def test_error_in_an_assertion_of_a_library(): assert_elsewhere()
def test_error_by_too_much_time():
    time.sleep(30)
test_error_by_too_much_time = pytest.mark.timeout(0.2)(test_error_by_too_much_time)
def test_error_in_a_fixture(guest): pass
def test_error_in_a_teardown(untidy): pass
def test_passed(): pass
"""


def run_sample(directory: Path, only: str = "test") -> tuple[int, str, list[Case]]:
    """Exit code, what pytest printed, and the outcomes."""
    (directory / "test_sample.py").write_text(SAMPLE)
    words = [sys.executable, "-m", "pytest", "-p", "hornet_fixtures.plugin", f"--rootdir={directory}", "-k", only]
    words += [f"--run-dir={directory}/run", f"{directory}/test_sample.py"]
    ended = subprocess.run(words, cwd=SOURCE, capture_output=True, text=True, timeout=120)
    return ended.returncode, ended.stdout, read_outcomes(directory / "run" / OUTCOMES_FILE)[0]


def test_only_a_verdict_is_a_failure(tmp_path: Path) -> None:
    code, shown, cases = run_sample(tmp_path)
    assert {case.name: case.result for case in cases} == {case.name: case.name.split("_")[1] for case in cases}
    assert len(cases) == SAMPLE.count("\ndef test_")
    summary = [line for line in shown.splitlines() if line.startswith(("FAILED ", "ERROR "))]
    assert all(line.split("::test_")[1].startswith(line.split()[0].lower()) for line in summary)
    assert len(summary) == len(cases) - 1
    assert code == 1
    messages = {case.name: case.reason for case in cases}
    assert messages["test_error_of_a_guest"] == "no answer"
    assert messages["test_error_in_a_check"] == "KeyError: 'missing'"


@pytest.mark.parametrize(("only", "code"), [("passed", 0), ("error or passed", 2), ("failed_by_a_check or error", 1)])
def test_the_exit_code_of_pytest(only: str, code: int, tmp_path: Path) -> None:
    assert run_sample(tmp_path, only)[0] == code


def test_an_own_test_that_raises_has_failed() -> None:
    """A self-test runs the suite's own code: a KeyError there is a failure."""
    with pytest.raises(KeyError) as found:
        raise KeyError("missing")
    tests = {folder: SOURCE / "tests" / folder / "test_x.py" for folder in FOLDERS_OF_TESTS}
    assert [folder for folder, test in tests.items() if is_verdict(found, test)] == ["selftest", "guest"]


@pytest.mark.parametrize(
    ("commands", "code"),
    [("true\n    true", 0), ("sh -c 'exit 1'", 1), ("- sh -c 'exit 1'\n    sh -c 'exit 2'", 1), ("sh -c 'exit 2'", 2)],
)
def test_the_exit_code_of_the_projects_tests(commands: str, code: int, tmp_path: Path) -> None:
    (tmp_path / "tox.ini").write_text(
        "[tox]\nno_package = true\nenv_list = a, b\n[testenv]\nskip_install = true\nallowlist_externals = *\n"
        f"[testenv:a]\ncommands =\n    {commands}\n[testenv:b]\ncommands = true\n"
    )
    words = ["-m", "hornet_cli", "test", "-c", f"{tmp_path}/tox.ini"]
    ended = subprocess.run([sys.executable, *words], cwd=SOURCE, capture_output=True, text=True, timeout=120)
    assert ended.returncode == code, ended.stdout + ended.stderr


@pytest.mark.parametrize("workspace", ["/dev/null", "/proc/1/nowhere"])
def test_a_run_without_a_place_for_its_results_is_a_usage_error(workspace: str) -> None:
    words = [sys.executable, "-m", "pytest", "-q", "tests/conformance/test_files.py"]
    environment = {**os.environ, "HORNET_HOME": workspace}
    ended = subprocess.run(words, cwd=SOURCE, env=environment, capture_output=True, text=True, timeout=120)
    assert ended.returncode == pytest.ExitCode.USAGE_ERROR
    assert "HORNET_HOME" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_tests_that_left_no_result_could_not_be_judged(tmp_path: Path) -> None:
    assert tests_command._exit_code(tmp_path / "none") == 2
