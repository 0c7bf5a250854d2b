"""`hornetos explain ID`: why a requirement exists, how it is judged, and how to mend it."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from hornet.installation import TESTS
from hornet_cli.context import Settings, settings
from hornet_cli.judging import demands_on, spec_of
from hornet_cli.printer import say, say_json


def explain(
    ctx: typer.Context,
    requirement: Annotated[
        str, typer.Argument(help="A requirement's id, as in hazard-boot_id; `hornetos guide` lists all.")
    ],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")] = False,
) -> None:
    """Show why a requirement exists, how it is judged, how to mend it, and its result in the latest run."""
    from hornet.errors import HostError
    from hornet.results.coverage import NEEDS, coverage
    from hornet.spec.requirements import load_requirements, unknown_ids
    from hornet_fixtures.requirement_markers import collect_checks

    mine = settings(ctx)
    requirements = load_requirements()
    if problems := unknown_ids(requirements, [requirement]):
        raise HostError(problems[0], "`hornetos guide` lists every requirement")
    known = requirements[requirement]
    covered = coverage([known], collect_checks(TESTS, mine.spec.tiers))
    facts: dict[str, Any] = {
        "id": known.id,
        "text": known.text_for(mine.spec),
        "level": known.level,
        "source": known.source or f"HornetOS Build Guide, {known.section}",
        "why": known.rationale,
        "judged by": covered[0].tests or [f"no test: {known.not_covered}"],
        "target metric": known.metric or "none",
        "needs": NEEDS[known.needs] if known.needs else "nothing: it is not judged",
        "if it fails": known.remedy,
        "latest run": _latest_result(mine, known.id),
    }
    if as_json:
        say_json(facts)
        return
    for name, value in facts.items():
        for place, line in enumerate(value if isinstance(value, list) else [value]):
            say(f"{name + ':' if place == 0 else '':13} {line}")


def _latest_result(mine: Settings, requirement: str) -> str:
    """The requirement's result in the latest run, with its reason."""
    from hornet.results.gate import decide
    from hornet.results.run import load_run

    directory = mine.workspace.reports / "latest"
    if not directory.is_dir():
        return "none yet: `hornetos run` makes one"
    run = load_run(directory)
    decision = decide(spec_of(mine, run), run, demands_on(directory, None, None, require_kvm=False))
    row = next(row for row in decision.rows if row.id == requirement)
    return f"{row.result}: {row.reason} ({run.name})"
