"""`hornetos guide`: the build guide's requirements and the tests that prove each; it writes the generated pages."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hornet.installation import IN_CHECKOUT, SOURCE, TESTS, require_checkout
from hornet_cli.context import settings
from hornet_cli.printer import AsJson, say, say_json

if TYPE_CHECKING:
    from hornet.results.coverage import Coverage
    from hornet.spec.model import Spec

PAGE = SOURCE / "docs" / "guide-coverage.md"


def guide(
    ctx: typer.Context,
    as_json: AsJson = False,
    write: Annotated[bool, typer.Option("--write", help="Write the generated parts of the docs.")] = False,
) -> None:
    """Show each requirement with its tests and what a verdict needs (exit 1: one has no test, or docs are stale)."""
    from hornet.results.coverage import coverage, coverage_page, coverage_problems
    from hornet.spec.model import load_spec
    from hornet.spec.requirements import load_requirements
    from hornet_fixtures.requirement_markers import collect_checks

    spec = settings(ctx).spec
    kvm_metrics = [key for key, metric in spec.metrics.items() if metric.needs == "kvm"]
    covered = coverage(load_requirements().values(), collect_checks(TESTS, spec.tiers), kvm_metrics)
    if write:
        require_checkout("hornetos guide --write")
    pages = _generated_pages(coverage_page(covered, load_spec())) if IN_CHECKOUT else {}
    if write:
        for path, text in pages.items():
            path.write_text(text, encoding="utf-8")
    problems = coverage_problems(covered)
    for path, text in pages.items():
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            problems.append(
                f"{path.relative_to(SOURCE)}: out of date; run `hornetos guide --write` and commit the page"
            )
    if as_json:
        say_json({"requirements": [_as_data(entry, spec) for entry in covered], "problems": problems})
    else:
        _show(covered, spec, problems)
    if problems:
        raise typer.Exit(1)


def _as_data(entry: Coverage, spec: Spec) -> dict[str, Any]:
    known = entry.requirement
    return {
        **known.model_dump(include={"id", "section", "level", "needs", "scope", "metric", "not_covered"}),
        "text": known.text_for(spec),
        "tests": entry.tests,
    }


def _show(covered: Sequence[Coverage], spec: Spec, problems: Sequence[str]) -> None:
    from hornet.results.coverage import NEEDS

    section = ""
    for entry in covered:
        requirement = entry.requirement
        if requirement.section != section:
            section = requirement.section
            say(f"\n{section}")
        say(f"  {requirement.id}: {requirement.text_for(spec)}" + (f" ({NEEDS[entry.takes]})" if entry.takes else ""))
        for line in entry.tests or [f"not covered: {requirement.not_covered or '?'}"]:
            say(f"    {line}")
    say()
    for problem in problems:
        say(f"problem: {problem}")
    say(f"guide: {sum(bool(entry.tests) for entry in covered)} of {len(covered)} requirements have tests")


def _generated_pages(coverage: str) -> dict[Path, str]:
    """The text that each page with generated parts must have."""
    from hornet.results.detection_matrix import PAGE as MATRIX_PAGE
    from hornet.results.detection_matrix import load_matrix, page_with_matrix

    return {
        PAGE: coverage,
        MATRIX_PAGE: page_with_matrix(MATRIX_PAGE.read_text(encoding="utf-8"), load_matrix()),
    }
