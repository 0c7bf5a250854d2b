"""Links tests to requirements. Ids are checked at collection, and each outcome carries them."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable, Generator, Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest

from hornet.checks.catalog import checks_in
from hornet.errors import HornetError
from hornet.results.coverage import Check
from hornet.results.outcomes import LANE_PROPERTY, module_name
from hornet.spec.requirements import Needs, load_requirements, unknown_ids


def requirement_ids(item: pytest.Item) -> list[str]:
    """The requirements that a test proves: those of every marker on it, its class and its module."""
    return list(dict.fromkeys(key for marker in item.iter_markers("requirement") for key in marker.args))


def guide_cases(kind: str, names: Iterable[str], thing_of: Callable[[str], str] = str) -> list[Any]:
    """One case per name. It carries the requirement `<kind>-<thing>` if the guide has it; a team's rule has none."""
    return requirement_cases({name: f"{kind}-{thing_of(name)}" for name in names})


def requirement_cases(requirements: Mapping[str, str]) -> list[Any]:
    """One case per name. It carries its requirement if the guide has it."""
    guide = load_requirements()
    return [
        pytest.param(name, marks=pytest.mark.requirement(requirement)) if requirement in guide else name
        for name, requirement in requirements.items()
    ]


def check_cases(group: str) -> list[Any]:
    """One case per check of a group such as `boot`: its function. The case carries its name and requirements."""
    return [
        pytest.param(check.function, id=check.label, marks=pytest.mark.requirement(*check.proves))
        for check in checks_in(group)
    ]


def check_name_cases(group: str) -> list[Any]:
    """The same with each check's name instead of its function, for checks whose problems are found beforehand."""
    return [pytest.param(check.name, marks=pytest.mark.requirement(*check.proves)) for check in checks_in(group)]


def metric_cases(metrics: Iterable[str]) -> list[Any]:
    """One case per target metric. It carries the requirement that this metric decides."""
    requirements = {requirement.metric: requirement.id for requirement in load_requirements().values()}
    return requirement_cases({metric: requirements.get(metric, "") for metric in metrics})


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Reject ids that spec/requirements does not have."""
    guide = load_requirements()
    problems = []
    for item in items:
        problems += [f"{item.nodeid}: {problem}" for problem in unknown_ids(guide, requirement_ids(item))]
    if problems:
        raise pytest.UsageError(
            "\n".join(problems)
            + "\nA marker names ids of spec/requirements, as in @pytest.mark.requirement('files-three'). Use the ids "
            "of the requirements that the test proves; a requirement that is missing there, add "
            "(docs/requirements.md)."
        )


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None]:
    """Add the lane that a test used to its result."""
    lane = getattr(item, "funcargs", {}).get("lane")
    if lane is not None:
        item.user_properties.append((LANE_PROPERTY, str(lane)))
    return (yield)


class _Collector:
    """Collects every test that proves a requirement."""

    def __init__(self) -> None:
        self.checks: list[Check] = []

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        for item in session.items:
            ids = tuple(requirement_ids(item))
            if ids:
                takes: Needs = "vm" if "lane" in getattr(item, "fixturenames", ()) else "no-vm"
                module = item.path.relative_to(session.config.rootpath).with_suffix("").parts
                self.checks.append(
                    Check(f"{module_name(module)}::{getattr(item, 'originalname', item.name)}", takes, ids)
                )


def collect_checks(tests: Path, tiers: Iterable[str]) -> list[Check]:
    """Every test below a directory that proves requirements in any of the tiers. No test is run.

    Raises HornetError if the tests can't be collected.
    """
    return [check for tier in tiers for check in _collect(tests, tier)]


def _collect(tests: Path, tier: str) -> list[Check]:
    collector, shown = _Collector(), io.StringIO()
    words = ["--collect-only", "-qq", f"--rootdir={tests.parent}", f"--tier={tier}", str(tests)]
    with contextlib.redirect_stdout(shown), contextlib.redirect_stderr(shown):
        code = pytest.main(words, plugins=[collector])
    if code != pytest.ExitCode.OK:
        raise HornetError(f"{tests}: can't be collected:\n{shown.getvalue()[-2000:]}", "correct the tests named above")
    return collector.checks
