"""The result of a requirement: the worst of its tests', or its metric's; no result without a test."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from pathlib import Path

import pytest

from hornet.results.outcomes import Case, Result
from hornet.results.records import Record
from hornet.results.requirements import NoResult, RequirementRow, requirement_rows
from hornet.results.run import Run
from hornet.results.verdict import judge
from hornet.spec.model import load_spec
from hornet.spec.requirements import Requirement

SPEC = load_spec()


def requirement(key: str = "files", **changes: object) -> Requirement:
    texts = {"section": "Anatomy", "text": "three files", "rationale": "r", "remedy": "m"}
    return Requirement.model_validate({"id": key, "level": "must", **texts, **changes})


def case(result: Result, reason: str = "", ids: Sequence[str] = ("files",), lane: str | None = "qemu/tcg") -> Case:
    name = f"conformance/test_x::test_one[{result}{reason}]"
    return Case(test=name, result=result, reason=reason, requirements=tuple(ids), lane=lane, duration_s=0.5)


def row_of(
    *cases: Case, of: Requirement | None = None, records: Sequence[Record] = (), missing: bool = False
) -> RequirementRow:
    collected = {"conformance/test_x": {"test_two": ["files"]}} if missing else {}
    run = Run(Path("run"), cases=list(cases), collected=collected)
    (row,) = requirement_rows(SPEC, [of or requirement()], run, judge(SPEC, records), {}, date(2030, 1, 1))
    return row


@pytest.mark.parametrize(
    ("cases", "expected"),
    [
        ([], Result.NOT_RUN),
        ([case(Result.PASSED, ids=["other"])], Result.NOT_RUN),
        ([case(Result.PASSED), case(Result.PASSED, "again")], Result.PASSED),
        ([case(Result.PASSED), case(Result.FAILED, "missing")], Result.FAILED),
        ([case(Result.PASSED), case(Result.ERROR, "no answer")], Result.ERROR),
        ([case(Result.PASSED), case(Result.NOT_JUDGED, "no mirror")], Result.NOT_JUDGED),
        ([case(Result.NOT_JUDGED), case(Result.ERROR)], Result.ERROR),
        ([case(Result.ERROR), case(Result.FAILED, "missing")], Result.FAILED),
    ],
)
def test_the_worst_test_gives_the_result(cases: list[Case], expected: Result) -> None:
    assert row_of(*cases).result is expected


def test_a_listed_test_without_a_result_counts_as_not_run() -> None:
    row = row_of(case(Result.PASSED), missing=True)
    assert (row.result, row.reason) == (Result.NOT_RUN, "conformance/test_x::test_two did not run")


def test_property_of_the_suite_is_not_judged_by_a_run() -> None:
    of_the_suite = requirement(scope="suite")
    assert row_of(of=of_the_suite).result is NoResult.OF_THE_SUITE
    assert row_of(case(Result.FAILED, "missing"), of=of_the_suite).result is Result.FAILED


def test_a_requirement_that_nothing_covers_says_why() -> None:
    row = row_of(of=requirement(not_covered="no such machine"))
    assert (row.result, row.reason) == (NoResult.NOT_COVERED, "no such machine")


def test_a_row_names_each_test_once_with_its_lane_time_and_reason() -> None:
    row = row_of(case(Result.PASSED), case(Result.FAILED, "vm.mem: missing", lane=None), case(Result.FAILED, "x"))
    assert row.tests == ["conformance/test_x::test_one"]
    assert (row.lanes, row.duration_s) == (["qemu/tcg"], 1.5)
    assert "vm.mem: missing (and 1 more)" in row.reason


def test_the_text_has_the_values_of_the_specification() -> None:
    row = row_of(of=requirement(text="at most {metrics[kernel_size].target:g} MB, {nothing.here}"))
    assert row.text == "at most {metrics[kernel_size].target:g} MB, {nothing.here}", "unknown values: as it stands"
    row = row_of(of=requirement(text="at most {metrics[kernel_size].target:g} MB"))
    assert row.text == f"at most {SPEC.target('kernel_size'):g} MB"


@pytest.mark.parametrize(
    ("lane", "value", "expected", "needs_kvm"),
    [
        ("qemu/tcg", 1.0, Result.NOT_JUDGED, True),
        ("qemu/kvm", 1.0, Result.PASSED, False),
        ("qemu/kvm", 1e6, Result.FAILED, False),
    ],
)
def test_a_target_has_its_metrics_result_though_its_test_passed(
    lane: str, value: float, expected: Result, needs_kvm: bool
) -> None:
    record = Record(name="cold_boot", value=value, unit="ms", direction="lower", lane=lane, host={})
    row = row_of(case(Result.PASSED, ids=["boot"]), of=requirement("boot", metric="cold_boot"), records=[record])
    assert (row.result, row.needs_kvm) == (expected, needs_kvm)


def test_a_target_that_was_not_measured_has_no_result() -> None:
    row = row_of(case(Result.PASSED, ids=["boot"]), of=requirement("boot", metric="cold_boot"))
    assert row.result is Result.NOT_RUN
