"""The decision on a run: each requirement counts, and nothing turns green by leaving something out."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from hornet.results.gate import Answer, Decision, Demands, decide
from hornet.results.outcomes import Case, Result, read_outcomes, several_results, worst_of_each
from hornet.results.policy import Policy, policy_text, read_policy
from hornet.results.records import Record
from hornet.results.requirements import NoResult
from hornet.results.run import Run
from hornet.results.run_info import RunInfo, Session
from hornet.results.waivers import Waiver
from hornet.spec.model import load_spec
from hornet.spec.requirements import Requirement, load_requirements
from tests.support import synthetic_run as synthetic

SPEC = load_spec()
REQUIREMENTS = load_requirements()
TODAY = date(2030, 1, 15)
JUDGED = [
    item.id
    for item in REQUIREMENTS.values()
    if item.scope == "image" and item.applies_to("standard") and not item.not_covered
]
BY_TESTS = [key for key in JUDGED if not REQUIREMENTS[key].metric]
BY_METRIC = [key for key in JUDGED if REQUIREMENTS[key].metric]
A_SHOULD = next(key for key in BY_TESTS if REQUIREMENTS[key].level == "should")
A_MUST = next(key for key in BY_TESTS if REQUIREMENTS[key].level == "must")


def green(**changes: Any) -> Run:
    """A run in which every requirement of an image has passed."""
    cases = changes.pop("cases", synthetic.green_cases(REQUIREMENTS.values()))
    values: dict[str, Any] = {
        "records": synthetic.met_records(SPEC),
        "cases": cases,
        "collected": synthetic.collected_in(cases),
        "info": RunInfo(tier="standard", sessions=[Session(command=["pytest"], started="", load_per_core=0.2)]),
    }
    return Run(Path("run"), **{**values, **changes})


def with_case(key: str, result: Result, **changes: Any) -> Run:
    """A green run but for the test of one requirement."""
    changes = {"result": result, "reason": "as told", **changes}
    run = green()
    run.cases = [case.model_copy(update=changes if key in case.requirements else {}) for case in run.cases]
    return run


def without_case(key: str) -> Run:
    """A green run in which the test of one requirement has no result, though it was collected."""
    run = green()
    run.cases = [case for case in run.cases if key not in case.requirements]
    return run


def judged(run: Run, baseline: Run | None = None, **demands: Any) -> Decision:
    return decide(SPEC, run, Demands(REQUIREMENTS, today=TODAY, **demands), baseline)


def result_of(decision: Decision, key: str) -> Result | NoResult:
    return next(row.result for row in decision.rows if row.id == key)


def waiver(**changes: Any) -> Waiver:
    return Waiver.model_validate({"owner": "ops", "reason": "known", "expires": TODAY, **changes})


def test_a_green_run_passes_also_with_kvm_required() -> None:
    for policy in (Policy(), Policy(require_kvm=True)):
        found = judged(green(), policy=policy)
        assert (found.answer, found.failures, found.unjudged, found.left_out) == (Answer.PASSED, [], [], [])
    assert {result_of(found, key) for key in JUDGED} == {Result.PASSED}
    assert found.headline.startswith(f"passed: {len(JUDGED)} of {len(JUDGED)} requirements hold")


# --- Each requirement counts ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", BY_TESTS)
def test_a_test_that_did_not_run_leaves_its_requirement_without_a_result(key: str) -> None:
    found = judged(without_case(key))
    assert (found.answer, result_of(found, key)) == (Answer.NOT_JUDGED, Result.NOT_RUN)
    assert any(sentence.startswith(f"{key}: ") for sentence in found.unjudged)


@pytest.mark.parametrize("key", BY_TESTS)
def test_a_requirement_none_of_whose_tests_was_collected_was_not_run(key: str) -> None:
    run = without_case(key)
    run.collected = synthetic.collected_in(run.cases)
    found = judged(run)
    assert (found.answer, result_of(found, key)) == (Answer.NOT_JUDGED, Result.NOT_RUN)


@pytest.mark.parametrize("key", BY_TESTS)
def test_a_failed_test_fails_its_requirement(key: str) -> None:
    found = judged(with_case(key, Result.FAILED))
    blocks = REQUIREMENTS[key].level == "must"
    assert (found.answer, result_of(found, key)) == (Answer.FAILED if blocks else Answer.PASSED, Result.FAILED)
    sentences = found.failures if blocks else found.remarks
    assert any(key in sentence and "as told" in sentence for sentence in sentences)


@pytest.mark.parametrize("result", [Result.ERROR, Result.NOT_JUDGED])
@pytest.mark.parametrize("key", BY_TESTS)
def test_a_test_without_a_verdict_leaves_its_requirement_unjudged(key: str, result: Result) -> None:
    found = judged(with_case(key, result))
    blocks = REQUIREMENTS[key].level == "must"
    assert (found.answer, result_of(found, key)) == (Answer.NOT_JUDGED if blocks else Answer.PASSED, result)


@pytest.mark.parametrize("key", BY_METRIC)
def test_each_metric_that_was_not_measured_leaves_the_run_unjudged(key: str) -> None:
    records = [record for record in synthetic.met_records(SPEC) if record.name != REQUIREMENTS[key].metric]
    found = judged(green(records=records))
    assert (found.answer, result_of(found, key)) == (Answer.NOT_JUDGED, Result.NOT_RUN)


@pytest.mark.parametrize(
    ("changes", "result", "answer"),
    [
        ({"factor": 1.01}, Result.FAILED, Answer.FAILED),
        ({"unit": "lines"}, Result.ERROR, Answer.NOT_JUDGED),
    ],
)
@pytest.mark.parametrize("key", BY_METRIC)
def test_each_metric_that_misses_or_is_corrupt_shows(
    key: str, changes: dict[str, Any], result: Result, answer: Answer
) -> None:
    found = judged(green(records=[_changed(record, REQUIREMENTS[key], **changes) for record in records_of_all()]))
    assert (found.answer, result_of(found, key)) == (answer, result)


def records_of_all() -> list[Record]:
    return synthetic.met_records(SPEC)


def _changed(record: Record, requirement: Requirement, factor: float = 1.0, unit: str = "") -> Record:
    if record.name != requirement.metric:
        return record
    worse = factor if record.direction == "lower" else 1 / factor
    return record.model_copy(update={"value": record.value * worse, "unit": unit or record.unit})


@pytest.mark.parametrize("key", BY_METRIC)
def test_a_test_of_a_metric_that_failed_fails_its_requirement(key: str) -> None:
    assert result_of(judged(with_case(key, Result.FAILED)), key) is Result.FAILED


def test_emulated_metrics_are_left_out_unless_kvm_is_required() -> None:
    run = green(records=synthetic.met_records(SPEC, lane="qemu/tcg"))
    lenient = judged(run)
    kvm = [key for key in BY_METRIC if SPEC.metrics[str(REQUIREMENTS[key].metric)].needs == "kvm"]
    assert lenient.answer is Answer.PASSED
    assert [sentence.partition(":")[0] for sentence in lenient.left_out] == kvm
    assert f"({len(kvm)} not judged)" in lenient.headline
    strict = judged(run, policy=Policy(require_kvm=True))
    assert (strict.answer, strict.failures) == (Answer.FAILED, lenient.left_out)


def test_a_requirement_for_other_tiers_needs_no_result() -> None:
    other = next(item.id for item in REQUIREMENTS.values() if item.tiers and "standard" not in item.tiers)
    assert result_of(judged(green()), other) is NoResult.OTHER_TIER
    run = green(info=RunInfo(tier=REQUIREMENTS[other].tiers[0]))
    assert result_of(judged(run), other) is Result.NOT_RUN


# --- What no requirement accounts for ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("result", "answer"),
    [(Result.FAILED, Answer.FAILED), (Result.ERROR, Answer.NOT_JUDGED), (Result.NOT_JUDGED, Answer.NOT_JUDGED)],
)
def test_a_test_without_a_requirement_counts(result: Result, answer: Answer) -> None:
    own = Case(test="conformance/test_own::test_one", result=result, reason="as told")
    found = judged(green(cases=[*green().cases, own]))
    assert found.answer is answer
    assert "conformance/test_own::test_one: as told" in [*found.failures, *found.unjudged]


def test_lost_results_leave_the_run_unjudged() -> None:
    assert judged(green(lost=["records.jsonl, line 3: not valid JSON"])).answer is Answer.NOT_JUDGED


def test_a_failure_outweighs_what_is_missing() -> None:
    run = with_case(A_MUST, Result.FAILED)
    run.lost = ["records.jsonl: no such file"]
    assert judged(run).answer is Answer.FAILED


def test_a_test_that_failed_once_is_not_proved_by_passing_later(tmp_path: Path) -> None:
    again = Case(test="conformance/test_x::test_y", result=Result.PASSED)
    path = tmp_path / "outcomes.jsonl"
    path.write_text(synthetic.lines([again.model_copy(update={"result": Result.FAILED}), again]))
    cases, problems = read_outcomes(path)
    assert problems == []
    assert [case.result for case in worst_of_each(cases)] == [Result.FAILED]
    assert several_results(cases) == [again.test]


# --- Waivers ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("result", [Result.FAILED, Result.ERROR, Result.NOT_JUDGED])
def test_a_waived_requirement_does_not_block_and_is_shown(result: Result) -> None:
    found = judged(with_case(A_MUST, result), waivers={A_MUST: waiver()})
    assert (found.answer, result_of(found, A_MUST)) == (Answer.PASSED, Result.WAIVED)
    (row,) = found.waived
    assert "waived by ops until 2030-01-15: known" in row.reason
    assert "as told" in row.reason
    assert "1 waived" in found.headline


def test_what_did_not_run_cannot_be_waived() -> None:
    assert judged(without_case(A_MUST), waivers={A_MUST: waiver()}).answer is Answer.NOT_JUDGED


def test_a_missed_target_can_be_waived() -> None:
    key = BY_METRIC[0]
    records = [_changed(record, REQUIREMENTS[key], factor=1.5) for record in records_of_all()]
    assert judged(green(records=records), waivers={key: waiver()}).answer is Answer.PASSED


@pytest.mark.parametrize(
    ("key", "changes", "named"),
    [
        (A_MUST, {"expires": date(2030, 1, 14)}, "expired on 2030-01-14 (owner: ops)"),
        (f"{A_MUST}x", {}, f"no requirement has this id; did you mean {A_MUST}"),
    ],
)
def test_an_expired_or_unknown_waiver_fails_the_run(key: str, changes: dict[str, Any], named: str) -> None:
    found = judged(green(), waivers={key: waiver(**changes)})
    assert found.answer is Answer.FAILED
    assert named in found.failures[0]


@pytest.mark.parametrize("changes", [{"expires": date(2030, 1, 14)}, {"tier": "micro"}, {"lane": "firecracker/kvm"}])
def test_a_waiver_covers_only_its_days_tier_and_lane(changes: dict[str, Any]) -> None:
    found = judged(with_case(A_MUST, Result.FAILED), waivers={A_MUST: waiver(**changes)})
    assert (found.answer, result_of(found, A_MUST)) == (Answer.FAILED, Result.FAILED)


def test_a_needless_waiver_is_named_and_does_not_fail() -> None:
    found = judged(green(), waivers={A_MUST: waiver()})
    assert found.answer is Answer.PASSED
    assert found.remarks == [f"waiver {A_MUST}: not needed: the requirement holds; remove it"]


# --- Policy -----------------------------------------------------------------------------------------------------------


def test_a_policy_can_let_recommendations_block() -> None:
    strict = Policy(blocking_levels=["must", "should"])
    assert judged(with_case(A_SHOULD, Result.FAILED), policy=strict).answer is Answer.FAILED


@pytest.mark.parametrize(
    ("load", "answer"), [(0.2, Answer.PASSED), (3.0, Answer.NOT_JUDGED), (None, Answer.NOT_JUDGED)]
)
def test_a_policy_can_demand_a_quiet_host(load: float | None, answer: Answer) -> None:
    session = Session(command=["pytest"], started="", load_per_core=load)
    run = green(info=RunInfo(tier="standard", sessions=[session]))
    assert judged(run, policy=Policy(max_load_per_core=0.5)).answer is answer


def test_a_policy_can_demand_a_baseline() -> None:
    demanded = Policy(require_baseline=True)
    assert judged(green(), policy=demanded).answer is Answer.NOT_JUDGED
    assert judged(green(), green(), policy=demanded).answer is Answer.PASSED


@pytest.mark.parametrize(("slower", "answer"), [(1.0, Answer.PASSED), (1.2, Answer.PASSED), (1.5, Answer.FAILED)])
def test_a_policy_limits_regressions(slower: float, answer: Answer) -> None:
    before, after = (
        green(records=[*records_of_all(), synthetic.restore_record(seed=1, slower=factor, lane="qemu/tcg")])
        for factor in (1.0, slower)
    )
    found = judged(after, replace(before, directory=Path("before")), policy=Policy(max_regression_percent=30))
    assert found.answer is answer, found


def test_a_baseline_of_another_host_cannot_show_that_there_is_no_regression() -> None:
    records = [record.model_copy(update={"host": {"cpu": "another"}}) for record in records_of_all()]
    found = judged(green(), green(records=records), policy=Policy(max_regression_percent=30))
    assert found.answer is Answer.NOT_JUDGED


def test_a_run_keeps_its_policy_with_what_options_added(tmp_path: Path) -> None:
    policy = Policy(blocking_levels=["must", "should"], require_kvm=True, max_load_per_core=0.5)
    (tmp_path / "policy.toml").write_text(policy_text(policy))
    assert read_policy(tmp_path / "policy.toml") == policy


def test_exit_codes() -> None:
    assert [answer.exit_code for answer in (Answer.PASSED, Answer.FAILED, Answer.NOT_JUDGED)] == [0, 1, 2]
