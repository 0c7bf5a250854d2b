"""A matrix: its cells, the decision on each, and that one which failed or did not run never counts as passed.

`hornetos run` of a cell is replaced: it leaves a run of made-up results. tests/guest/test_matrix.py has a real one.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import typer
from jsonschema import Draft202012Validator

from hornet.errors import HostError
from hornet.host.workspace import Workspace
from hornet.results.gate import Answer, Demands
from hornet.results.matrix import AXES, MATRIX_FILE, MAX_CELLS, Axis, Cell, cells_of, parse_axes
from hornet.results.outcomes import Case, Result
from hornet.results.run import load_run
from hornet.results.scope import decide_suites
from hornet.results.waivers import Waiver
from hornet.spec.model import load_spec
from hornet.spec.requirements import load_requirements
from hornet.vm.life import LIVES
from hornet.vmm.registry import LANE_NAMES
from hornet_cli import matrix
from hornet_cli.context import Settings
from reports.schemas import schema_of
from tests.support import synthetic_run as synthetic

SPEC, REQUIREMENTS = load_spec(), load_requirements()
SINGLE: dict[Axis, str] = {"lanes": "qemu/tcg", "tiers": "standard", "kernels": "debian", "lives": "restored"}
PASSED = Case(test="conformance/test_tools::test_git", result=Result.PASSED, requirements=("tool-git",))
FAILED = PASSED.model_copy(update={"result": Result.FAILED, "reason": "no git"})
UNJUDGED = PASSED.model_copy(update={"result": Result.NOT_JUDGED, "reason": "no kernel"})


def test_axes_stand_for_all_that_is_known() -> None:
    axes = parse_axes(["lanes,tiers", "kernels", "lives"], SPEC)
    assert axes == {
        "lanes": list(LANE_NAMES),
        "tiers": list(SPEC.tiers),
        "kernels": list(SPEC.kernel.sources),
        "lives": list(LIVES),
    }
    assert tuple(axes) == AXES


def test_cells_are_every_combination(tmp_path: Path) -> None:
    vmlinux = tmp_path / "vmlinux"
    vmlinux.write_bytes(b"kernel")
    axes = parse_axes(["tiers=micro,dev", f"kernels=debian,{vmlinux}"], SPEC)
    cells = cells_of(axes, SINGLE)
    assert [(cell.tier, cell.kernel) for cell in cells] == [
        ("micro", "debian"),
        ("micro", str(vmlinux)),
        ("dev", "debian"),
        ("dev", str(vmlinux)),
    ]
    assert cells[0].name == "qemu-tcg_micro_debian_restored"
    assert cells[1].name.startswith("qemu-tcg_micro_vmlinux-")
    assert len({cell.name for cell in cells}) == len(cells)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "a value is empty"),
        ("lanes,", "a value is empty"),
        ("tiers=", "a value is empty"),
        ("tiers=micro,micro", "a value is given twice"),
        ("lains", "unknown axis 'lains'"),
        ("lanes=qemu/tgc", "unknown lane 'qemu/tgc'; did you mean qemu/tcg"),
        ("tiers=giant", "unknown tier 'giant'"),
        ("kernels=6.66", "unknown kernel '6.66'"),
        ("kernels=/nowhere/vmlinux", "/nowhere/vmlinux: no such file"),
        ("lives=undead", "unknown life 'undead'"),
    ],
)
def test_wrong_axis_or_value_is_rejected(text: str, said: str) -> None:
    with pytest.raises(HostError, match=said):
        parse_axes([text], SPEC)


def test_axis_given_twice_is_rejected() -> None:
    with pytest.raises(HostError, match="tiers is given twice"):
        parse_axes(["tiers", "tiers=micro"], SPEC)


def test_too_many_cells_are_rejected() -> None:
    with pytest.raises(HostError, match=f"{MAX_CELLS + 1} cells, at most {MAX_CELLS}"):
        cells_of({"tiers": [str(number) for number in range(MAX_CELLS + 1)]}, SINGLE)


def decided(directory: Path, cases: Sequence[Case], **changes: Any) -> Answer:
    run = load_run(synthetic.make_run(directory / "run", cases=cases, **changes))
    run.lost = []  # synthetic runs list no other suite
    return decide_suites(SPEC, run, Demands(REQUIREMENTS), ["conformance"]).answer


@pytest.mark.parametrize(
    ("cases", "answer"),
    [([PASSED], Answer.PASSED), ([PASSED, FAILED], Answer.FAILED), ([UNJUDGED], Answer.NOT_JUDGED)],
)
def test_suites_are_decided_by_what_they_prove(cases: list[Case], answer: Answer, tmp_path: Path) -> None:
    assert decided(tmp_path, cases) is answer


def test_collected_test_without_result_is_not_judged(tmp_path: Path) -> None:
    collected = {"conformance/test_tools": {"test_git": ["tool-git"], "test_node": ["tool-node"]}}
    assert decided(tmp_path, [PASSED], collected__json=json.dumps(collected)) is Answer.NOT_JUDGED


def test_module_without_collected_tests_is_not_judged(tmp_path: Path) -> None:
    collected = {"conformance/test_tools": {"test_git": ["tool-git"]}, "conformance/test_boot": {}}
    assert decided(tmp_path, [PASSED], collected__json=json.dumps(collected)) is Answer.NOT_JUDGED


def test_waiver_of_an_unknown_requirement_still_fails(tmp_path: Path) -> None:
    run = load_run(synthetic.make_run(tmp_path / "run", cases=[PASSED]))
    run.lost = []
    waiver = Waiver.model_validate({"owner": "ops", "reason": "known", "expires": "2999-01-01"}, strict=False)
    of_another_suite = Demands(REQUIREMENTS, waivers={"guide-seal": waiver, "tool-node": waiver})
    assert decide_suites(SPEC, run, of_another_suite, ["conformance"]).answer is Answer.FAILED
    assert decide_suites(SPEC, run, Demands(REQUIREMENTS, waivers={"tool-node": waiver}), ["conformance"]).answer


# --- The command ------------------------------------------------------------------------------------------------------

# What becomes of each tier's cell. A text: why it can't run here. An exception: a signal ends the matrix in it.
Ended = dict[str, list[Case] | str | KeyboardInterrupt]
INTERRUPTED = 130
Shown = tuple[int, dict[str, Any], Path]


@pytest.fixture
def run_matrix(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., Shown]:
    """Runs a matrix whose cells end as told; returns the exit code, what --json printed, and its directory."""
    home = Workspace(tmp_path)

    def run(ended: Ended, *texts: str) -> Shown:
        def leave_a_run(argv: Sequence[str], output: object = None) -> int:
            options = dict(word[2:].split("=", 1) for word in argv if word.startswith("--") and "=" in word)
            cases = ended[options["tier"]]
            assert options["suite"] == "conformance"
            if isinstance(cases, KeyboardInterrupt):
                raise cases
            if cases:
                synthetic.make_run(home.path("reports", options["name"]), cases=cases)
            return 2

        def require(runs: matrix.CellRuns, spec: object, cell: Cell) -> None:
            if isinstance(why := ended[cell.tier], str):
                raise HostError(why, "")

        monkeypatch.setattr(matrix, "call", leave_a_run)
        monkeypatch.setattr(matrix.CellRuns, "_require", require)
        given = {"lanes": "qemu/tcg", "tiers": None, "lives": "restored"}
        with pytest.raises((typer.Exit, KeyboardInterrupt)) as ending:
            matrix.start_matrix(
                Settings(home), texts, given, Demands(REQUIREMENTS), None, [], distro=None, in_lab=False, as_json=True
            )
        (written,) = home.reports.glob(f"*/{MATRIX_FILE}")
        printed = json.loads(capsys.readouterr().out)
        assert printed == json.loads(written.read_text())
        code = ending.value.exit_code if isinstance(ending.value, typer.Exit) else INTERRUPTED
        return code, printed, written.parent

    return run


def results(printed: dict[str, Any]) -> dict[str, str]:
    return {cell["tier"]: cell["result"] for cell in printed["cells"]}


ALL_SUITES = [Case(test=f"{suite}/test_x::test_y", result=Result.PASSED) for suite in ("procedures", "network", "perf")]
GREEN, RED = [PASSED, *ALL_SUITES], [FAILED, *ALL_SUITES]


@pytest.mark.parametrize(
    ("ended", "code", "expected"),
    [
        ({"micro": GREEN, "dev": GREEN}, 0, {"micro": "passed", "dev": "passed"}),
        ({"micro": GREEN, "dev": RED}, 1, {"micro": "passed", "dev": "failed"}),
        ({"micro": GREEN, "dev": "no such VMM"}, 2, {"micro": "passed", "dev": "not judged"}),
        ({"micro": RED, "dev": "no such VMM"}, 1, {"micro": "failed", "dev": "not judged"}),
        ({"micro": GREEN, "dev": []}, 2, {"micro": "passed", "dev": "not judged"}),
    ],
)
def test_exit_code_is_that_of_the_worst_cell(
    ended: Ended, code: int, expected: dict[str, str], run_matrix: Callable[..., Shown]
) -> None:
    found = run_matrix(ended, "tiers=micro,dev")
    assert (found[0], results(found[1])) == (code, expected)


def test_cell_that_did_not_run_is_named_with_the_reason(run_matrix: Callable[..., Shown]) -> None:
    _, printed, directory = run_matrix({"micro": "no firecracker on PATH", "dev": []}, "tiers=micro,dev")
    reasons = [(cell["run"], cell["reason"]) for cell in printed["cells"]]
    assert reasons[0] == (None, "not judged: no firecracker on PATH")
    assert reasons[1][0] is None
    assert "left no results" in reasons[1][1]
    page = (directory / "matrix.html").read_text()
    assert "no firecracker on PATH" in page
    assert "qemu-tcg_micro_debian_restored" in page


def test_interrupted_matrix_says_what_ran_and_what_did_not(run_matrix: Callable[..., Shown]) -> None:
    ended: Ended = {"micro": GREEN, "standard": KeyboardInterrupt(), "dev": GREEN}
    code, printed, directory = run_matrix(ended, "tiers=micro,standard,dev")
    assert code == INTERRUPTED
    assert results(printed) == {"micro": "passed", "standard": "not judged", "dev": "not judged"}
    assert [cell["run"] is None for cell in printed["cells"]] == [False, True, True]
    assert printed["cells"][2]["reason"] == "not judged: the matrix was interrupted before it had a run"
    assert printed["result"] == "not judged"
    assert "was interrupted" in (directory / "matrix.html").read_text()


def test_other_kernel_of_the_spec_is_an_overlay(run_matrix: Callable[..., Shown]) -> None:
    _, printed, directory = run_matrix({"standard": GREEN}, "kernels=debian,lts")
    assert [cell["kernel"] for cell in printed["cells"]] == ["debian", "lts"]
    assert (directory / "kernel-lts.toml").read_text() == '[kernel]\nsource = "lts"\n'


def test_json_conforms_to_its_schema(run_matrix: Callable[..., Shown]) -> None:
    _, printed, _ = run_matrix({"micro": RED, "dev": "none"}, "tiers=micro,dev")
    validator = Draft202012Validator(schema_of("matrix"))
    assert validator.is_valid(printed)
    assert not validator.is_valid({**printed, "cells": [{**printed["cells"][0], "result": "fine"}]})


def start(home: Path, texts: list[str], given: dict[str, str | None], *, in_lab: bool) -> None:
    common = Settings(Workspace(home)), texts, {"lanes": None, "tiers": None, "lives": "restored", **given}
    matrix.start_matrix(*common, Demands({}), None, [], distro=None, in_lab=in_lab, as_json=True)


@pytest.mark.parametrize("option", [{"tiers": "dev"}, {"lanes": "qemu/kvm"}])
def test_single_value_beside_its_axis_is_rejected(option: dict[str, str | None], tmp_path: Path) -> None:
    with pytest.raises(typer.BadParameter, match="leave one out"):
        start(tmp_path, ["lanes,tiers"], option, in_lab=False)
    assert not (tmp_path / "reports").exists()


def test_lab_without_lanes_is_rejected(tmp_path: Path) -> None:
    with pytest.raises(typer.BadParameter, match="name the lanes"):
        start(tmp_path, ["tiers"], {}, in_lab=True)
