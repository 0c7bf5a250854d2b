"""`hornetos guide`: the build guide's requirements and the tests that prove each; it writes the generated pages."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hornet.installation import IN_CHECKOUT, SOURCE, TESTS, require_checkout
from hornet_cli.context import settings
from hornet_cli.printer import say

PAGE = SOURCE / "docs" / "guide-coverage.md"


def guide(
    ctx: typer.Context,
    write: Annotated[bool, typer.Option("--write", help="Write the generated parts of the docs.")] = False,
) -> None:
    """Show each requirement with its tests and what a verdict needs (exit 1: one has no test, or docs are stale)."""
    from hornet.results.coverage import NEEDS, coverage, coverage_page, coverage_problems
    from hornet.spec.requirements import load_requirements
    from hornet_fixtures.requirement_markers import collect_checks

    spec = settings(ctx).spec
    kvm_metrics = [key for key, metric in spec.metrics.items() if metric.needs == "kvm"]
    covered = coverage(load_requirements().values(), collect_checks(TESTS, spec.tiers), kvm_metrics)
    if write:
        require_checkout("hornetos guide --write")
    pages = _generated_pages(coverage_page(covered)) if IN_CHECKOUT else {}
    if write:
        for path, text in pages.items():
            path.write_text(text, encoding="utf-8")
    section = ""
    for entry in covered:
        requirement = entry.requirement
        if requirement.section != section:
            section = requirement.section
            say(f"\n{section}")
        say(f"  {requirement.id}: {requirement.text}" + (f" ({NEEDS[entry.takes]})" if entry.takes else ""))
        for line in entry.tests or [f"not covered: {requirement.not_covered or '?'}"]:
            say(f"    {line}")
    say()
    problems = coverage_problems(covered)
    for path, text in pages.items():
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            problems.append(
                f"{path.relative_to(SOURCE)}: out of date; run `hornetos guide --write` and commit the page"
            )
    for problem in problems:
        say(f"problem: {problem}")
    say(f"guide: {sum(bool(entry.tests) for entry in covered)} of {len(covered)} requirements have tests")
    if problems:
        raise typer.Exit(1)


def _generated_pages(coverage: str) -> dict[Path, str]:
    """The text that each page with generated parts must have."""
    from hornet.results.detection_matrix import PAGE as MATRIX_PAGE
    from hornet.results.detection_matrix import load_matrix, page_with_matrix

    return {
        PAGE: coverage,
        MATRIX_PAGE: page_with_matrix(MATRIX_PAGE.read_text(encoding="utf-8"), load_matrix()),
    }
