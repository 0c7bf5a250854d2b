"""No check without a test that makes it fail: by name, for every function in hornet/checks that returns problems."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import re
from pathlib import Path

import pytest

import hornet.checks
from hornet.checks import catalog
from hornet.home import CHECKOUT

# These are broken through the catalog, where a self-test demands a broken input for each entry.
CATALOGS = inspect.getsource(catalog)


def checks() -> list[str]:
    """`module.function` of every check."""
    names = []
    for module in pkgutil.iter_modules(hornet.checks.__path__, "hornet.checks."):
        loaded = importlib.import_module(module.name)
        names += [
            f"{module.name.rpartition('.')[2]}.{name}"
            for name, value in inspect.getmembers(loaded, inspect.isfunction)
            if re.fullmatch(r"[a-z]\w*_problems", name) and value.__module__ == module.name
        ]
    return names


def source_of(folder: str) -> str:
    return "\n".join(path.read_text() for path in (CHECKOUT / "tests" / folder).glob("*.py") if path != Path(__file__))


@pytest.mark.parametrize("check", checks())
def test_it_is_made_to_fail(check: str) -> None:
    module, _, name = check.partition(".")
    cataloged = name in CATALOGS or (f"{module}.CHECKS" in CATALOGS or f"{module}.checks_of" in CATALOGS)
    assert cataloged or name in source_of("selftest"), f"no self-test names {name}, and no catalog has it"


@pytest.mark.parametrize("check", checks())
def test_it_judges_something(check: str) -> None:
    module, _, name = check.partition(".")
    used = "\n".join(path.read_text() for path in (CHECKOUT / "hornet").rglob("*.py"))
    asked = source_of("conformance") + source_of("network") + source_of("perf")
    by_list = f"{module}.CHECKS" in asked or f"{module}.checks_of" in used
    assert name in asked or by_list or len(re.findall(rf"\b{name}\b", used)) > 1, f"nothing uses {name}"
