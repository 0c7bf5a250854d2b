"""Which tests prove which requirement of the guide, whether or not they have run: docs/guide-coverage.md."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from hornet.results.collected import IMAGE_SUITES
from hornet.spec.model import Spec
from hornet.spec.requirements import Needs, Requirement

TITLE = "# Requirements and their tests"
INTRODUCTION = """
With this page you find the tests that prove each requirement, of the build guide and beyond it, and
what a verdict needs: a KVM lane, a VM in any lane, or no VM. A run's report shows the results in
the same order. `hornetos explain ID` says why a requirement exists and how to mend it.

`hornetos guide --write` generates this page from `spec/requirements/` and the `requirement`
markers of the tests. A self-test fails if the page is stale, or if a requirement has neither a test
nor a reason for having none.
"""


# What a verdict takes, from the most demanding on, in words.
NEEDS: dict[Needs, str] = {"kvm": "KVM lane", "vm": "VM, any lane", "no-vm": "no VM"}


@dataclass(frozen=True)
class Check:
    """A test that proves requirements. test: as in `conformance/test_tools::test_tool_is_present`."""

    test: str
    takes: Needs
    ids: tuple[str, ...]


@dataclass(frozen=True)
class Coverage:
    """A requirement with the tests that prove it."""

    requirement: Requirement
    tests: list[str]
    takes: Needs | None


def coverage(
    requirements: Iterable[Requirement], checks: Sequence[Check], kvm_metrics: Iterable[str] = ()
) -> list[Coverage]:
    """One entry per requirement, in their order. kvm_metrics: metrics that only a KVM lane can judge."""
    needs_kvm = set(kvm_metrics)
    found = []
    for requirement in requirements:
        mine = [check for check in checks if requirement.id in check.ids]
        takes = {check.takes for check in mine} | ({"kvm"} if requirement.metric in needs_kvm else set())
        strongest = next((kind for kind in NEEDS if kind in takes), None) if mine else None
        found.append(Coverage(requirement, list(dict.fromkeys(check.test for check in mine)), strongest))
    return found


def coverage_problems(covered: Sequence[Coverage]) -> list[str]:
    """Requirements without a test and without a reason, or with both; and those whose tests lie in another scope."""
    problems = []
    for entry in covered:
        name, reason = entry.requirement.id, entry.requirement.not_covered
        if not entry.tests and not reason:
            problems.append(
                f"{name}: no test has a requirement marker with this id; add one, or not_covered to its table"
            )
        if entry.tests and reason:
            problems.append(f"{name}: marked as not covered, but {entry.tests[0]} proves it; remove not_covered")
        in_a_run = any(test.partition("/")[0] in IMAGE_SUITES for test in entry.tests)
        scope = "image" if in_a_run or entry.requirement.metric else "suite"
        if entry.tests and not reason and entry.requirement.scope != scope:
            problems.append(f"{name}: scope is {entry.requirement.scope!r}, expected {scope!r} by where its tests lie")
        if entry.takes != entry.requirement.needs:
            problems.append(f"{name}: needs is {entry.requirement.needs!r}, expected {entry.takes!r} by its tests")
    return problems


def coverage_page(covered: Sequence[Coverage], spec: Spec) -> str:
    """The page as Markdown, with the values of a specification."""
    count = sum(bool(entry.tests) for entry in covered)
    lines = [TITLE, INTRODUCTION, f"{count} of {len(covered)} requirements have tests.", ""]
    by_section: dict[str, list[Coverage]] = {}
    for entry in covered:
        by_section.setdefault(entry.requirement.section, []).append(entry)
    for section, entries in by_section.items():
        lines += [f"## {section}", "", "| Requirement | Level | Tests | Needs |", "|---|---|---|---|"]
        lines += [_row(entry, spec) for entry in entries]
        lines.append("")
    return "\n".join(lines)


def _row(entry: Coverage, spec: Spec) -> str:
    requirement = entry.requirement
    shown = "<br>".join(f"`{test}`" for test in entry.tests) or f"not covered: {requirement.not_covered or '?'}"
    needs = NEEDS[entry.takes] if entry.takes else "–"
    return f"| {requirement.text_for(spec)} (`{requirement.id}`) | {requirement.level} | {shown} | {needs} |"
