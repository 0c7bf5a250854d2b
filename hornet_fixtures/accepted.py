"""Accepted failures: a failing test that the spec accepts by name is shown as accepted, with the reason.

A name may include a case, as in `test_clones_are_safe[boot_id]`. The other cases are then judged as usual.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Iterable, Iterator

import pytest

from hornet.installation import TESTS
from hornet.results.junit import ACCEPTED
from hornet_fixtures.session import read_spec

# The folders that users run. A run of one folder must still know the names of the tests in all of them.
USER_TESTS = ("conformance", "procedures", "network", "perf")
_TEST = re.compile(r"^def (test_\w+)", re.MULTILINE)
_COLLECTED = pytest.StashKey[set[str]]()


def pytest_itemcollected(item: pytest.Item) -> None:
    """Store the names of all tests, including those that are deselected later."""
    item.config.stash.setdefault(_COLLECTED, set()).update((_name(item), item.name))


def pytest_collection_finish(session: pytest.Session) -> None:
    """Mark accepted tests as expected failures. Only a verdict can be accepted: a test without one stays an error."""
    accepted = read_spec(session.config).accepted
    if accepted:
        collected = session.config.stash.get(_COLLECTED, set())
        # Only collection knows a test's cases. Of a test that is not collected, check the name alone.
        names = [name if name.partition("[")[0] in collected else name.partition("[")[0] for name in accepted]
        if problems := unknown_tests(names, {*suite_tests(), *collected}):
            raise pytest.UsageError("\n".join(problems))
    for item in session.items:
        reason = accepted.get(item.name) or accepted.get(_name(item))
        if reason:
            item.add_marker(pytest.mark.xfail(reason=f"{ACCEPTED}: {reason}", raises=pytest.fail.Exception))


def suite_tests() -> Iterator[str]:
    """The names of the suite's tests that users run."""
    for folder in USER_TESTS:
        for module in sorted((TESTS / folder).rglob("test_*.py")):
            yield from _TEST.findall(module.read_text())


def unknown_tests(accepted: Iterable[str], known: Collection[str]) -> list[str]:
    """One sentence for each accepted name that no test has, with similar names."""
    problems = []
    for name in accepted:
        if name not in known:
            close = difflib.get_close_matches(name, known)
            meant = f"; did you mean {' or '.join(close)}?" if close else ""
            problems.append(f"accepted.{name}: no test has this name{meant}\n  next: correct the name in the overlay")
    return problems


def _name(item: pytest.Item) -> str:
    """A test's name without the parameters of its case."""
    return str(getattr(item, "originalname", item.name))
