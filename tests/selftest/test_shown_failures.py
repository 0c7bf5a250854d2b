"""A VM that failed is shown in full by the first test that meets it, and in one line by all that come later."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from hornet.installation import SOURCE
from hornet.results.outcomes import OUTCOMES_FILE, read_outcomes

TESTS = """
import pytest
from hornet.vmm.failure import FailureSignal

dead, other = FailureSignal("vm1"), FailureSignal("vm2")
dead.set("failed: its VMM (process 7) was killed by SIGKILL", last_words="LAST WORDS")
other.set("failed: its VMM (process 8) ended with exit code 1", last_words="OTHER WORDS")

@pytest.fixture(scope="session")
def facts():
    dead.check("running a script")

def test_first(facts): pass
def test_second(facts): pass
def test_third(): dead.check("waiting for port 22")
def test_other(): other.check()
"""


LOGGING = """
import logging
import pytest

def test_fails():
    try:
        raise EOFError
    except EOFError:
        logging.getLogger("paramiko.transport").critical("LOGGED", exc_info=True)
    pytest.fail("our own words")
"""


def test_what_a_library_logs_of_a_connection_is_not_shown(tmp_path: Path) -> None:
    """The suite's own error explains the end of a connection; the library's traceback is hidden."""
    (tmp_path / "test_sample.py").write_text(LOGGING)
    words = [sys.executable, "-m", "pytest", "-q", "-p", "hornet_fixtures.plugin", f"--rootdir={tmp_path}"]
    words += [f"--run-dir={tmp_path}/run", f"{tmp_path}/test_sample.py"]
    done = subprocess.run(words, cwd=SOURCE, capture_output=True, text=True, timeout=120, check=False)
    assert "our own words" in done.stdout
    assert "Captured log" not in done.stdout
    assert "Traceback" not in done.stdout + done.stderr


def test_later_tests_refer_to_the_first(tmp_path: Path) -> None:
    (tmp_path / "test_sample.py").write_text(TESTS)
    words = [sys.executable, "-m", "pytest", "-q", "-p", "hornet_fixtures.plugin", f"--rootdir={tmp_path}"]
    words += [f"--run-dir={tmp_path}/run", f"{tmp_path}/test_sample.py"]
    subprocess.run(words, cwd=SOURCE, capture_output=True, timeout=120, check=False)
    said = {case.name: case.detail for case in read_outcomes(tmp_path / "run" / OUTCOMES_FILE)[0]}
    assert "(noticed while running a script)\nLAST WORDS" in said["test_first"]
    for later in ("test_second", "test_third"):
        assert said[later].strip() == (
            "VM vm1 failed: its VMM (process 7) was killed by SIGKILL; it can no longer be used: "
            "see test_sample.py::test_first"
        )
    assert "OTHER WORDS" in said["test_other"]
