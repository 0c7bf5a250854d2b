"""The guide's table in the report: no verdict without a result, one failed check is enough, emulated is not judged."""

from __future__ import annotations

from typing import Any

import pytest

from hornet.results.junit import Case
from hornet.results.records import Record
from hornet.results.requirements import RequirementVerdict, requirement_rows, requirements_sentence
from hornet.results.verdict import Judgement, judge
from hornet.spec.model import load_spec
from hornet.spec.requirements import Requirement

SPEC = load_spec()
PLAIN = Requirement("files", "Anatomy", "three files")


def case(outcome: Any, message: str = "", ids: tuple[str, ...] = ("files",), lane: str | None = "qemu/tcg") -> Case:
    return Case("conformance/test_x", "test_one[a]", outcome, message, "", 0.1, ids, lane)


def verdict(
    *cases: Case, requirement: Requirement = PLAIN, judgements: list[Judgement] | None = None
) -> RequirementVerdict:
    (row,) = requirement_rows([requirement], judgements or [], cases)
    return row.verdict


@pytest.mark.parametrize(
    ("cases", "expected"),
    [
        ([], RequirementVerdict.NOT_RUN),
        ([case("passed", ids=("other",))], RequirementVerdict.NOT_RUN),
        ([case("passed"), case("passed")], RequirementVerdict.HOLDS),
        ([case("passed"), case("failed", "missing")], RequirementVerdict.FAILS),
        ([case("passed"), case("skipped", "not judged: no mirror")], RequirementVerdict.PARTLY),
        ([case("skipped", "not judged: no mirror")], RequirementVerdict.UNJUDGED),
        ([case("skipped"), case("failed", "missing")], RequirementVerdict.FAILS),
    ],
)
def test_the_verdict_of_a_requirement_is_that_of_its_checks(cases: list[Case], expected: RequirementVerdict) -> None:
    assert verdict(*cases) is expected


def test_property_of_the_suite_is_not_judged_by_a_run() -> None:
    of_the_suite = Requirement("files", "A", "says", scope="suite")
    assert verdict(requirement=of_the_suite) is RequirementVerdict.OF_THE_SUITE
    assert verdict(case("failed", "missing"), requirement=of_the_suite) is RequirementVerdict.FAILS


def test_a_requirement_that_nothing_covers_says_why() -> None:
    (row,) = requirement_rows([Requirement("x", "A", "says", not_covered="no such machine")], [], [])
    assert (row.verdict, row.reason) == (RequirementVerdict.NOT_COVERED, "no such machine")


def test_a_row_names_each_test_once_with_its_lane_and_the_reason() -> None:
    (row,) = requirement_rows([PLAIN], [], [case("passed"), case("failed", "vm.mem: missing", lane=None)])
    assert row.checks == ["conformance/test_x::test_one"]
    assert row.lanes == ["qemu/tcg"]
    assert "vm.mem: missing" in row.reason


@pytest.mark.parametrize(
    ("lane", "value", "expected"),
    [
        ("qemu/tcg", 1.0, RequirementVerdict.UNJUDGED),
        ("qemu/kvm", 1.0, RequirementVerdict.HOLDS),
        ("qemu/kvm", 1e6, RequirementVerdict.FAILS),
    ],
)
def test_a_target_has_its_metrics_verdict_though_its_test_passed(
    lane: str, value: float, expected: RequirementVerdict
) -> None:
    record = Record(name="cold_boot", value=value, unit="ms", direction="lower", lane=lane, host={})
    requirement = Requirement("boot", "Targets", "boots fast", metric="cold_boot")
    judgements = judge(SPEC, [record])
    assert verdict(case("passed", ids=("boot",)), requirement=requirement, judgements=judgements) is expected


def test_a_target_that_was_not_measured_has_no_verdict() -> None:
    requirement = Requirement("boot", "Targets", "boots fast", metric="cold_boot")
    passed = case("passed", ids=("boot",))
    assert verdict(passed, requirement=requirement, judgements=judge(SPEC, [])) is RequirementVerdict.NOT_RUN


def test_the_sentence_counts_every_requirement_once() -> None:
    rows = requirement_rows([PLAIN, Requirement("b", "A", "b"), Requirement("c", "A", "c")], [], [case("passed")])
    assert requirements_sentence(rows) == "1 of the guide's 3 requirements hold; no test ran: 2."
