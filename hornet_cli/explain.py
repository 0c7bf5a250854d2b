"""`hornetos explain ID`: why a requirement exists, how it is judged, and how to mend it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from hornet.installation import TESTS
from hornet_cli.context import Settings, settings
from hornet_cli.judging import demands_on, spec_of
from hornet_cli.printer import AsJson, say, say_json

if TYPE_CHECKING:
    from hornet.results.run import Run


def explain(
    ctx: typer.Context,
    requirement: Annotated[
        str, typer.Argument(help="A requirement's id, as in hazard-boot_id; `hornetos guide` lists all.")
    ],
    as_json: AsJson = False,
) -> None:
    """Show why a requirement exists, how it is judged, how to mend it, and its result in the latest run."""
    from hornet.errors import HostError
    from hornet.results.coverage import NEEDS
    from hornet.spec.requirements import load_requirements, unknown_ids

    mine = settings(ctx)
    requirements = load_requirements()
    if problems := unknown_ids(requirements, [requirement]):
        raise HostError(problems[0], "`hornetos guide` lists every requirement")
    known = requirements[requirement]
    latest = _latest_run(mine)
    tests = _tests(mine, latest, known.id)
    facts: dict[str, Any] = {
        "id": known.id,
        "text": known.text_for(mine.spec),
        "level": known.level,
        "source": known.source or f"HornetOS Build Guide, {known.section}",
        "why": known.rationale,
        "judged by": tests or [f"no test: {known.not_covered}"],
        "target metric": known.metric or "none",
        "needs": NEEDS[known.needs] if known.needs else "nothing: it is not judged",
        "if it fails": known.remedy,
        "latest run": _result(mine, latest, known.id),
    }
    if as_json:
        say_json(facts)
        return
    for name, value in facts.items():
        for place, line in enumerate(value if isinstance(value, list) else [value]):
            say(f"{name + ':' if place == 0 else '':14} {line}")


def _latest_run(mine: Settings) -> Run | None:
    from hornet.results.run import load_run

    directory = mine.workspace.reports / "latest"
    return load_run(directory) if directory.is_dir() else None


def _tests(mine: Settings, latest: Run | None, requirement: str) -> list[str]:
    """The tests that prove a requirement: as the latest run noted them, else by collecting all, which takes seconds."""
    from hornet.results.coverage import coverage
    from hornet.spec.requirements import load_requirements
    from hornet_fixtures.requirement_markers import collect_checks

    noted = latest.collected if latest else {}
    found = [
        f"{module}::{name}" for module, tests in noted.items() for name, ids in tests.items() if requirement in ids
    ]
    if found:
        return found
    (covered,) = coverage([load_requirements()[requirement]], collect_checks(TESTS, mine.spec.tiers))
    return covered.tests


def _result(mine: Settings, latest: Run | None, requirement: str) -> str:
    """The requirement's result in the latest run, with its reason."""
    from hornet.results.gate import decide

    if latest is None:
        return "none yet: `hornetos run` makes one"
    demands = demands_on(latest.directory, None, None, require_kvm=False)
    rows = decide(spec_of(mine, latest), latest, demands).rows
    row = next(row for row in rows if row.id == requirement)
    return f"{row.result}: {row.reason} ({latest.name})"
