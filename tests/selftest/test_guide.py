"""The guide as data: it loads, refuses what is wrong in it, and a test can't name a statement that is not there."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from hornet.errors import SpecError
from hornet.guide import load_guide, unknown_ids
from hornet.home import CHECKOUT
from hornet.spec import load_spec
from reports.junit import read_junit


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def test_the_guide_loads_and_names_metrics_tools_and_removals_of_the_spec() -> None:
    guide, spec = load_guide(), load_spec()
    assert {statement.metric for statement in guide.values() if statement.metric} == set(spec.metrics)
    assert {f"tool-{name}" for name in spec.tools} <= set(guide)
    assert {f"removed-{name}" for name in spec.removals} <= set(guide)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ('["A"]\nx = ""', "A.x"),
        ('["A"]\nx = 3', "A.x"),
        ('["A"]\n"no spaces" = "says"', "no spaces"),
        ('["A"]\nx = { says = "s", metrik = "m" }', "metrik"),
        ('["A"]\nx = "says"\n["B"]\nx = "says"', "'A' and in 'B'"),
        ('["A"\n', "not valid TOML"),
    ],
)
def test_a_wrong_guide_is_refused(text: str, named: str, tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=named):
        load_guide(write(tmp_path / "guide.toml", text))


def test_an_unknown_id_is_named_with_those_that_look_like_it() -> None:
    (problem,) = unknown_ids(load_guide(), ["file-three", "files-three"])
    assert "'file-three'" in problem
    assert "files-three" in problem


def run_pytest(directory: Path, source: str, *options: str) -> subprocess.CompletedProcess[str]:
    """Run pytest with the suite's plugin on one test module."""
    module = write(directory / "test_sample.py", source)
    words = [sys.executable, "-m", "pytest", "-q", "-p", "hornet_fixtures.plugin", f"--rootdir={directory}", *options]
    return subprocess.run([*words, str(module)], cwd=CHECKOUT, capture_output=True, text=True, timeout=120, check=False)


SAMPLE = """
import pytest
pytestmark = pytest.mark.guide("files-three")
@pytest.fixture
def lane(): return "qemu/tcg"
@pytest.mark.guide("files-atomic")
def test_a(lane): pass
def test_b(): assert False
"""


def test_statements_and_lane_travel_with_each_result(tmp_path: Path) -> None:
    run_pytest(tmp_path, SAMPLE, f"--junitxml={tmp_path}/junit.xml")
    first, second = read_junit(tmp_path / "junit.xml")
    assert (set(first.guide), first.lane, first.outcome) == ({"files-three", "files-atomic"}, "qemu/tcg", "passed")
    assert (second.guide, second.lane, second.outcome) == (("files-three",), None, "failed")


def test_a_marker_with_an_unknown_id_stops_the_run_and_says_what_to_do(tmp_path: Path) -> None:
    result = run_pytest(tmp_path, SAMPLE.replace("files-atomic", "file-atomic"))
    assert result.returncode == pytest.ExitCode.USAGE_ERROR
    assert "test_sample.py::test_a: guide.toml has no statement 'file-atomic'" in result.stderr
    assert "files-atomic" in result.stderr
    assert "Read guide.toml" in result.stderr
