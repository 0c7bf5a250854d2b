"""`hornetos explain`: every fact of a requirement, its tests, and its result in the latest run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from hornet.errors import HornetError
from hornet.spec.model import load_spec
from hornet.spec.requirements import load_requirements
from hornet_cli.app import app
from reports import publish_latest
from tests.support import synthetic_run as synthetic

REQUIREMENTS = load_requirements()


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HORNET_HOME", str(tmp_path))
    return tmp_path


@pytest.fixture
def latest(home: Path) -> Path:
    cases = synthetic.green_cases(REQUIREMENTS.values())
    run = synthetic.make_run(home / "reports" / "run", cases=cases, records=synthetic.met_records(load_spec()))
    publish_latest(run)
    return run


def explained(requirement: str) -> dict[str, object]:
    ended = CliRunner().invoke(app, ["explain", requirement, "--json"])
    assert ended.exit_code == 0, ended.output
    found: dict[str, object] = json.loads(ended.output)
    return found


@pytest.mark.usefixtures("latest")
@pytest.mark.parametrize("key", ["tool-git", "target-restore", "kernel-build"])
def test_a_requirement_is_explained_with_its_latest_result(key: str) -> None:
    facts, requirement = explained(key), REQUIREMENTS[key]
    assert (facts["why"], facts["if it fails"], facts["level"]) == (
        requirement.rationale,
        requirement.remedy,
        requirement.level,
    )
    expected = {"image": "passed: ", "suite": "property of the suite: "}[requirement.scope]
    assert str(facts["latest run"]).startswith(expected)


@pytest.mark.usefixtures("latest")
def test_tests_are_those_that_the_run_noted() -> None:
    assert explained("tool-git")["judged by"] == ["conformance/test_tools::test_tool-git"]


def test_an_unknown_id_is_named_with_similar_ones() -> None:
    ended = CliRunner().invoke(app, ["explain", "tool-gut"])
    assert isinstance(ended.exception, HornetError)
    assert "did you mean tool-git" in str(ended.exception)
