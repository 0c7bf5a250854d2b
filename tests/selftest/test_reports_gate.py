"""The decision on a run: it can't turn green by skipping, by not measuring, or by leaving tests out."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from hornet.results.collected import not_run
from hornet.results.gate import Decision, Outcome, decide
from hornet.results.junit import Case
from hornet.results.records import Record
from hornet.results.run import Run
from hornet.spec.model import load_spec
from hornet_cli.app import app
from tests.support import synthetic_run as synthetic

SPEC = load_spec()


def case(outcome: Any = "passed", message: str = "", module: str = "conformance/test_tools") -> Case:
    return Case(module, "test_one", outcome, message, "", 0.1)


def good_records(lane: str) -> list[Record]:
    """Every target metric, just met."""
    return [
        Record(name=key, value=SPEC.target(key), unit=m.unit, direction=m.direction, lane=lane, host=synthetic.HOST)
        for key, m in SPEC.metrics.items()
    ]


def decision(records: list[Record], cases: list[Case], *, require_kvm: bool = False) -> Decision:
    """Of a run whose only test, of each module of the suites that judge images, is one."""
    collected = {"conformance/test_tools": ["test_one"]}
    run = Run(Path("run"), records=records, cases=cases, not_run=not_run(collected, cases))
    return decide(SPEC, run, require_kvm=require_kvm)


def test_all_met_and_passed_holds_also_with_kvm_required() -> None:
    for require_kvm in (False, True):
        found = decision(good_records("firecracker/kvm"), [case()], require_kvm=require_kvm)
        assert found == Decision(Outcome.HOLDS, [], [], [])


def test_emulated_metrics_hold_only_where_kvm_is_not_required() -> None:
    records = good_records("qemu/tcg")
    assert decision(records, [case()]).outcome is Outcome.HOLDS
    strict = decision(records, [case()], require_kvm=True)
    assert strict.outcome is Outcome.FAILS
    assert len(strict.failures) == sum(metric.needs == "kvm" for metric in SPEC.metrics.values())


@pytest.mark.parametrize("require_kvm", [False, True])
def test_a_skipped_test_leaves_the_run_unjudged_and_is_named(require_kvm: bool) -> None:
    found = decision(good_records("qemu/kvm"), [case("skipped", "not judged: no vmlinux")], require_kvm=require_kvm)
    assert found.outcome is Outcome.UNJUDGED
    assert found.unjudged == ["conformance/test_tools::test_one: not judged: no vmlinux"]


def test_a_test_of_a_metric_is_left_to_the_metrics_own_judgement() -> None:
    of_a_metric = replace(case("skipped", "not judged: emulated", "perf/test_targets"), metric="cold_boot")
    assert decision(good_records("qemu/tcg"), [case(), of_a_metric]).outcome is Outcome.HOLDS


@pytest.mark.parametrize("module", ["network/test_isolation", "perf/test_boot", "selftest/test_x"])
def test_a_failed_test_of_any_suite_fails_the_run(module: str) -> None:
    found = decision(good_records("qemu/kvm"), [case(), case("failed", "reached", module)])
    assert found.outcome is Outcome.FAILS
    assert found.failures == [f"{module}::test_one: reached"]


@pytest.mark.parametrize("key", list(SPEC.metrics))
def test_each_missed_metric_fails(key: str) -> None:
    worse = {"lower": 1.01, "higher": 0.99}
    records = [
        record.model_copy(update={"value": record.value * worse[record.direction]}) if record.name == key else record
        for record in good_records("qemu/kvm")
    ]
    found = decision(records, [case()])
    assert found.outcome is Outcome.FAILS
    assert SPEC.metrics[key].title in found.failures[0]


@pytest.mark.parametrize("key", list(SPEC.metrics))
def test_each_metric_left_out_leaves_the_run_unjudged(key: str) -> None:
    records = [record for record in good_records("qemu/kvm") if record.name != key]
    assert decision(records, [case()]).outcome is Outcome.UNJUDGED


@pytest.mark.parametrize("cases", [[], [case("skipped", "no guest")], [case(module="perf/test_restore")]])
def test_no_conformance_result_leaves_the_run_unjudged(cases: list[Case]) -> None:
    assert decision(good_records("qemu/kvm"), cases).outcome is Outcome.UNJUDGED


def test_one_failed_conformance_test_fails_and_is_named() -> None:
    found = decision(good_records("qemu/kvm"), [case(), case("failed", "sshd: not found")])
    assert found.outcome is Outcome.FAILS
    assert found.failures == ["conformance/test_tools::test_one: sshd: not found"]


def test_run_with_an_unjudged_test_is_not_judged_and_names_it() -> None:
    found = decision(good_records("qemu/kvm"), [case(), case("error", "no answer")])
    assert found.outcome is Outcome.UNJUDGED
    assert found.unjudged == ["conformance/test_tools::test_one: no answer"]


def test_a_failure_outweighs_what_is_missing() -> None:
    assert decision([], [case("failed", "x")]).outcome is Outcome.FAILS


@pytest.mark.parametrize(
    ("changes", "options", "exit_code", "named"),
    [
        ({}, [], 0, "left out: needs KVM: Cold boot"),
        ({}, ["--require-kvm"], 1, "failed: Snapshot restore (page_cache=hot): not judged: emulated"),
        ({"junit__xml": None}, [], 2, "not judged: junit*.xml: no such file"),
        ({"collected__json": None}, [], 2, "collected.json: no such file: whether every test ran is unknown"),
        (
            {"collected__json": "{}"},
            [],
            2,
            "conformance: not run: collected.json lists none of its modules",
        ),
        ({"collected__json": "{}", "cases": []}, [], 2, "not judged: network: not run: "),
        ({"collected__json": "[1]"}, [], 2, "not judged: collected.json: "),
        (
            {"collected__json": '{"network/test_isolation": []}'},
            [],
            2,
            "not judged: network/test_isolation: not run: none of its tests was collected",
        ),
        (
            {"collected__json": '{"conformance/test_tools": ["test_tool_works[node]", "test_left_out"]}'},
            [],
            2,
            "not judged: conformance/test_tools: not run: 1 of 2 tests: test_left_out",
        ),
        ({"junit-2__xml": "<testsuite>"}, [], 2, "not judged: junit-2.xml: not complete XML"),
        ({"host__json": None}, [], 0, "missing from the run: "),
        ({"records": []}, [], 2, "not judged: Rootfs size: not measured"),
    ],
)
def test_the_command_says_why_and_exits_accordingly(
    tmp_path: Path, changes: dict[str, Any], options: list[str], exit_code: int, named: str
) -> None:
    density = Record(
        name="vms_per_16gb", value=70, unit="VMs", direction="higher", lane="qemu/tcg", host=synthetic.HOST
    )
    changes = {"records": [*synthetic.records(), density], **changes}
    run = synthetic.make_run(tmp_path / "run", **changes)
    result = CliRunner().invoke(app, ["gate", str(run), *options])
    assert (result.exit_code, named in result.output) == (exit_code, True), result.output


def test_exit_codes() -> None:
    assert [outcome.exit_code for outcome in (Outcome.HOLDS, Outcome.FAILS, Outcome.UNJUDGED)] == [0, 1, 2]
