"""What a thing needs in a second place is there: a forgotten registration fails here and not, unseen, in a run."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from typer.main import get_command

from hornet.installation import SOURCE
from hornet.results.policy import Policy
from hornet.spec.model import load_spec
from hornet.spec.requirements import load_requirements
from hornet_cli.app import app
from tests.conformance.test_kernel import FEATURES

SPEC, REQUIREMENTS = load_spec(), load_requirements()
README = (SOURCE / "README.md").read_text(encoding="utf-8")
MEASURING = "\n".join(
    path.read_text(encoding="utf-8")
    for folder in ("tests/perf", "tests/conformance", "hornet_fixtures", "hornet/capacity")
    for path in sorted((SOURCE / folder).rglob("*.py"))
)
BEYOND = "Beyond the guide"
RUN_FOLDERS = ("conformance", "procedures", "network", "perf")


def unnamed(names: Iterable[str], text: str, quoted: str) -> list[str]:
    """The names that do not stand in a text. quoted: how they stand in it, with NAME for the name."""
    return [name for name in names if not re.search(quoted.replace("NAME", re.escape(name)), text)]


def tiers_that_differ(tools: Mapping[str, list[str] | None], required: Mapping[str, list[str] | None]) -> list[str]:
    """Tools that are judged in other tiers than their requirement: there, it would have no outcome."""
    return [name for name, tiers in tools.items() if name in required and required[name] != tiers]


def test_a_metric_is_recorded_by_a_test() -> None:
    assert unnamed(SPEC.metrics, MEASURING, '"NAME"') == []
    assert unnamed(["no_such_metric"], MEASURING, '"NAME"') == ["no_such_metric"]


def blocking(marks: str) -> bool:
    """Whether the marks of a module make its tests slow, and prove nothing or what blocks a release."""
    if "mark.slow" not in marks:
        return False
    proved = re.findall(r'mark\.requirement\("([\w-]+)"\)', marks)
    return not proved or any(REQUIREMENTS[name].level in Policy().blocking_levels for name in proved)


def test_a_run_is_decided_without_its_slow_tests() -> None:
    """A test that is skipped and proves no requirement leaves the run without a decision."""
    modules = [path for folder in RUN_FOLDERS for path in (SOURCE / "tests" / folder).glob("test_*.py")]
    texts = {path.name: path.read_text(encoding="utf-8") for path in modules}
    marks = {name: re.findall(r"^pytestmark = .*", text, re.MULTILINE) for name, text in texts.items()}
    assert [name for name, lines in marks.items() if blocking("".join(lines))] == []
    assert blocking("pytestmark = [pytest.mark.perf, pytest.mark.slow]")
    assert blocking('pytestmark = [pytest.mark.slow, pytest.mark.requirement("target-restore")]')


def test_a_group_of_required_flags_has_a_requirement_that_is_judged() -> None:
    assert set(SPEC.kernel.required) <= set(FEATURES)
    assert {f"kernel-{feature}" for feature in FEATURES} <= set(REQUIREMENTS)


def test_a_tool_and_its_requirement_name_the_same_tiers() -> None:
    tools = {name: tool.tiers for name, tool in SPEC.tools.items() if tool.requirement is None}
    required = {name: REQUIREMENTS[f"tool-{name}"].tiers for name in tools}
    assert tiers_that_differ(tools, required) == []
    assert tiers_that_differ({"git": ["dev"]}, {"git": None}) == ["git"]


def test_readme_shows_each_command() -> None:
    commands = getattr(get_command(app), "commands")  # noqa: B009 (click's Group: its type is not typer's)
    shown = r"(hornetos|…) NAME\b"
    assert unnamed(commands, README, shown) == []
    assert unnamed(["no-such-command"], README, shown) == ["no-such-command"]


def test_readme_counts_the_requirements() -> None:
    beyond = sum(requirement.section.startswith(BEYOND) for requirement in REQUIREMENTS.values())
    guide = len(REQUIREMENTS) - beyond
    assert f"Each of {len(REQUIREMENTS)} requirements, {guide} of the guide and {beyond} beyond it" in README
