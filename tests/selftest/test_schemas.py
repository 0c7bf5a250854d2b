"""The schemas in docs/schemas are those of the models, real files conform to them, and others do not."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from jsonschema import Draft202012Validator
from typer.testing import CliRunner

from hornet.host.production import Finding, ProductionAnswer
from hornet.installation import SOURCE
from hornet.network.egress import Egress
from hornet.network.ownership import ListedVM, NetList
from hornet.network.reconcile import NetCheck
from hornet.procedures.answers import AdoptAnswer, NewVersionAnswer, OtherVersion, RollbackAnswer, ValidateAnswer
from hornet.procedures.validate import Step
from hornet.remote.fleet_file import FLEET_FILE, FleetFile, HostState, write_fleet
from hornet.remote.here import describe
from hornet.remote.plan import Plan
from hornet.results.gate import Answer
from hornet.results.interleaved import Sides, compare_sides
from hornet.results.matrix import MatrixCell, MatrixFile
from hornet.results.run import load_run
from hornet.results.run_end import end_run
from hornet.spec.model import load_spec
from hornet_cli.app import app
from hornet_cli.printer import say_answer
from reports.comparison import SCHEMA, ComparisonFile, as_data
from reports.schemas import FILES, schema_of
from tests.support import synthetic_run as synthetic
from tests.support.bundle_samples import ORIGIN

# Facts of any kind.
ANYTHING = {"host", "artifacts"}
QUANTITIES = {"total": Sides("ms", 1.0, np.ones((3, 1)), np.full((3, 1), 1.5))}
COMPARED = ComparisonFile(
    schema=SCHEMA,
    kind="kernel",
    a="a",
    b="b",
    a_sha256="0",
    b_sha256="1",
    boot_args_b="",
    vmm_b="",
    lane="qemu/tcg",
    seed=1,
    blocks=3,
    error_rate=0.05,
    power=0.8,
    duration_s=1.0,
    load_per_core=0.5,
    host=synthetic.HOST,
    rows=compare_sides(QUANTITIES, load_spec().compare, seed=1),
    false_alarm_rate=None,
)
CELL = MatrixCell(
    name="c", lane="qemu/tcg", tier="dev", kernel="lts", life="booted", run=None, result=Answer.FAILED, reason="why"
)
MATRIX = MatrixFile(
    name="m", begun="2026-01-01", suites=["conformance"], result=Answer.FAILED, headline="failed", cells=[CELL]
)
KEPT = SOURCE / "docs" / "schemas"
# What commands print that need root or a guest; the tests of each compare what it really prints with its schema.
ANSWERS = {
    "adopt": AdoptAnswer("/d", "sealed", ["damage"], ["remark"], ORIGIN, open_to_others=False),
    "new-version": NewVersionAnswer("published", "/d", 0, "said", [Step("seal", "PASS", ["line"])]),
    "validate": ValidateAnswer("not judged", [Step("seal", "NOT RUN", ["line"])]),
    "rollback": RollbackAnswer(True, "v2", "v1", "", [OtherVersion("vm1", "/v1", 7, 8)]),
    "net-list": NetList([ListedVM("vm1", "10.0.1.0/24", "veth-vm1-br")], ["o"], ["n"], True, {7: ["l"]}),
    "net-check": NetCheck(0, 1, ["problem"], Egress(("dropped",), ("mend",), ("remark",))),
    "production": ProductionAnswer(60, [Finding("ksm", "KSM", None, "unknown", "off", "why", "change")]),
}


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A HORNET_HOME with one run and its report."""
    home = tmp_path_factory.mktemp("home")
    run = synthetic.make_run(home / "reports" / "one")
    end_run(run, 0, load_spec())
    assert load_run(run).lost == []
    here, hosts = describe(load_spec(), {}, []), {"a": HostState(tries=["f"], came_back="f"), "b": HostState()}
    fleet = FleetFile(name="f", begun="2026-01-01", here=here, plan=Plan(limit_minutes=1), hosts=hosts)
    write_fleet(home, fleet)
    return home


def files(home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> dict[str, list[Any]]:
    """What each schema describes, from the run and from ANSWERS."""
    monkeypatch.setenv("HORNET_HOME", str(home))
    run = home / "reports" / "one"
    printed = {
        name: json.loads(CliRunner().invoke(app, words).stdout)
        for name, words in {"gate": ["gate", "one", "--json"], "trend": ["trend", "--json"]}.items()
    }
    for name, answer in ANSWERS.items():
        say_answer(answer)
        printed[name] = json.loads(capsys.readouterr().out)
    assert CliRunner().invoke(app, ["report", "one"]).exit_code == 0
    lines = {name: (run / f"{name}.jsonl").read_text().splitlines() for name in ("outcomes", "records")}
    return {
        **{name: [data] for name, data in printed.items()},
        **{name: [json.loads(line) for line in found] for name, found in lines.items()},
        **{name: [json.loads((run / f"{name}.json").read_text())] for name in ("run", "report")},
        "compare": [as_data(COMPARED)],
        "matrix": [MATRIX.model_dump(mode="json")],
        "fleet": [json.loads((home / FLEET_FILE).read_text())],
    }


def test_every_file_conforms_to_its_schema(
    written: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    found = files(written, monkeypatch, capsys)
    assert found.keys() == FILES.keys()
    assert {line["kind"] for line in found["outcomes"]} == {"test", "requirement"}
    for name, documents in found.items():
        validator = Draft202012Validator(schema_of(name))
        for document in documents:
            assert [error.message for error in validator.iter_errors(document)] == []
            for field, broken in broken_copies(document):
                assert not validator.is_valid(broken), f"{name}: {field}"


def broken_copies(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """The document without each of its fields, and with a value of no field's kind in it."""
    for field in document:
        yield field, {key: value for key, value in document.items() if key != field}
        if field not in ANYTHING:
            yield field, {**document, field: {"wrong": [None]}}


@pytest.mark.parametrize("name", FILES)
def test_the_schemas_of_the_docs_are_those_of_the_models(name: str) -> None:
    kept = (KEPT / f"{name}.schema.json").read_text()
    assert json.loads(kept) == schema_of(name), f"hornetos schema {name} > docs/schemas/{name}.schema.json"
    Draft202012Validator.check_schema(json.loads(kept))


def test_an_unknown_schema_is_an_error() -> None:
    shown = CliRunner().invoke(app, ["schema", "record"])
    assert "did you mean records" in str(shown.exception)
