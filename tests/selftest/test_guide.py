"""The guide as data: it loads, refuses what is wrong in it, and a test can't name a requirement that is not there."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from hornet.errors import SpecError
from hornet.installation import SOURCE
from hornet.results.coverage import Check, coverage, coverage_page, coverage_problems
from hornet.results.outcomes import OUTCOMES_FILE, read_outcomes
from hornet.spec.model import load_spec
from hornet.spec.requirements import Needs, Requirement, Scope, load_requirements, unknown_ids


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def test_guide_names_metrics_tools_and_removals_of_the_spec() -> None:
    guide, spec = load_requirements(), load_spec()
    assert {requirement.metric for requirement in guide.values() if requirement.metric} == set(spec.metrics)
    assert {tool.requirement or f"tool-{name}" for name, tool in spec.tools.items()} <= set(guide)
    assert {f"removed-{name}" for name in spec.removals} <= set(guide)


DETAILS = 'section = "A"\ntext = "says"\nlevel = "must"\nrationale = "r"\nremedy = "m"\n'


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("[x]\n" + DETAILS.replace('"says"', '""'), "x.text"),
        ("[x]\n" + DETAILS.replace('"must"', '"may"'), "x.level"),
        ('["no spaces"]\n' + DETAILS, "no spaces"),
        ("[x]\n" + DETAILS + 'metrik = "m"\n', "metrik"),
        ('["A"\n', "not valid TOML"),
        ("", "no requirements"),
    ],
)
def test_invalid_requirements_are_rejected(text: str, named: str, tmp_path: Path) -> None:
    write(tmp_path / "requirements.toml", text)
    with pytest.raises(SpecError, match=named):
        load_requirements(tmp_path)


def test_an_id_in_two_files_is_rejected(tmp_path: Path) -> None:
    for name in ("a.toml", "b.toml"):
        write(tmp_path / name, "[x]\n" + DETAILS)
    with pytest.raises(SpecError, match=r"b\.toml: x: this id is already in another file"):
        load_requirements(tmp_path)


def test_the_text_of_each_requirement_has_its_values() -> None:
    spec = load_spec()
    for requirement in load_requirements().values():
        assert not set("{}") & set(requirement.text_for(spec)), requirement.id


def test_an_unknown_id_is_named_with_those_that_look_like_it() -> None:
    (problem,) = unknown_ids(load_requirements(), ["file-three", "files-three"])
    assert "'file-three'" in problem
    assert "files-three" in problem


def run_pytest(directory: Path, source: str, *options: str) -> subprocess.CompletedProcess[str]:
    """Run pytest with the suite's plugin on one test module."""
    module = write(directory / "test_sample.py", source)
    words = [sys.executable, "-m", "pytest", "-q", "-p", "hornet_fixtures.plugin", f"--rootdir={directory}", *options]
    return subprocess.run([*words, str(module)], cwd=SOURCE, capture_output=True, text=True, timeout=120, check=False)


SAMPLE = """
import pytest
pytestmark = pytest.mark.requirement("files-three")
@pytest.fixture
def lane(): return "qemu/tcg"
@pytest.mark.requirement("files-atomic")
def test_a(lane): pass
def test_b(): assert False
"""


def test_requirements_and_lane_travel_with_each_result(tmp_path: Path) -> None:
    run_pytest(tmp_path, SAMPLE, f"--run-dir={tmp_path}/run")
    (first, second), _ = read_outcomes(tmp_path / "run" / OUTCOMES_FILE)
    found = set(first.requirements), first.lane, first.result
    assert found == ({"files-three", "files-atomic"}, "qemu/tcg", "passed")
    assert (second.requirements, second.lane, second.result) == (("files-three",), None, "failed")


def test_marker_with_an_unknown_id_stops_the_run_with_a_hint(tmp_path: Path) -> None:
    result = run_pytest(tmp_path, SAMPLE.replace("files-atomic", "file-atomic"))
    assert result.returncode == pytest.ExitCode.USAGE_ERROR
    assert "test_sample.py::test_a: spec/requirements has no 'file-atomic'" in result.stderr
    assert "files-atomic" in result.stderr
    assert "docs/requirements.md" in result.stderr


def check(test: str, *ids: str, takes: Needs = "no-vm") -> Check:
    return Check(f"conformance/test_x::{test}", takes, ids)


def requirement(key: str, **changes: object) -> Requirement:
    details = {"section": "Section", "text": f"says {key}", "level": "must", "rationale": "r", "remedy": "m"}
    return Requirement.model_validate({"id": key, **details, **changes})


REQUIREMENTS = [
    requirement("a", needs="vm"),
    requirement("b", metric="cold_boot", needs="kvm"),
    requirement("c", not_covered="no such machine"),
]


def test_coverage_lists_each_test_once_with_the_highest_need() -> None:
    checks = [check("one", "a"), check("one", "a", takes="vm"), check("two", "a", "b")]
    a, b, c = coverage(REQUIREMENTS, checks, ["cold_boot"])
    assert (a.tests, a.takes) == (["conformance/test_x::one", "conformance/test_x::two"], "vm")
    assert (b.tests, b.takes) == (["conformance/test_x::two"], "kvm")
    assert (c.tests, c.takes) == ([], None)
    assert coverage_problems([a, b, c]) == []


@pytest.mark.parametrize(
    ("checks", "named"),
    [
        ([check("one", "b"), check("two", "a", "c", takes="vm")], "c: marked as not covered"),
        ([check("one", "a", takes="vm")], "b: no test"),
        ([check("one", "a", "b")], "a: needs is 'vm', expected 'no-vm' by its tests"),
    ],
)
def test_a_requirement_that_disagrees_with_its_tests_is_named(checks: list[Check], named: str) -> None:
    problems = coverage_problems(coverage(REQUIREMENTS, checks, ["cold_boot"]))
    assert problems[0].startswith(named), problems


@pytest.mark.parametrize(("scope", "folder"), [("image", "selftest"), ("suite", "conformance")])
def test_a_requirement_of_another_scope_than_its_tests_is_named(scope: Scope, folder: str) -> None:
    of_scope = requirement("a", scope=scope, needs="no-vm")
    (problem,) = coverage_problems(coverage([of_scope], [Check(f"{folder}/test_x::one", "no-vm", ("a",))], []))
    assert problem.startswith(f"a: scope is '{scope}'")


def test_the_page_has_a_row_for_every_requirement() -> None:
    page = coverage_page(coverage(REQUIREMENTS, [check("one", "a", "b")], ["cold_boot"]), load_spec())
    assert "2 of 3 requirements have tests." in page
    assert "| says b (`b`) | must | `conformance/test_x::one` | KVM lane |" in page
    assert "| says c (`c`) | must | not covered: no such machine | – |" in page


def test_tests_are_collected_with_their_ids_and_what_they_take(tmp_path: Path) -> None:
    module = tmp_path / "tests" / "conformance" / "test_sample.py"
    module.parent.mkdir(parents=True)
    write(module, SAMPLE)
    write(tmp_path / "conftest.py", 'pytest_plugins = ["hornet_fixtures.plugin"]')
    # In a process of its own: pytest does not run within pytest.
    script = (
        "from hornet_fixtures.requirement_markers import *; "
        f"print(collect_checks(Path({str(module.parents[1])!r}), ['micro']))"
    )
    words = [sys.executable, "-c", script]
    done = subprocess.run(words, cwd=SOURCE, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("Check(") == 2
    assert "test='conformance/test_sample::test_a', takes='vm'" in done.stdout
    assert "test='conformance/test_sample::test_b', takes='no-vm'" in done.stdout


def test_every_requirement_is_covered_and_the_page_is_current() -> None:
    words = [sys.executable, "-m", "hornet_cli", "guide"]
    done = subprocess.run(words, cwd=SOURCE, capture_output=True, text=True, timeout=300, check=False)
    problems = [line for line in done.stdout.splitlines() if line.startswith("problem: ")]
    assert (done.returncode, problems) == (0, []), done.stderr
