"""JSON Schemas of the files that other programs may read, from the models with which the suite writes them."""

from __future__ import annotations

from typing import Any

from pydantic import TypeAdapter
from pydantic.json_schema import GenerateJsonSchema

from hornet.host.production import ProductionAnswer
from hornet.network.ownership import NetList
from hornet.network.reconcile import NetCheck
from hornet.procedures.answers import AdoptAnswer, NewVersionAnswer, RollbackAnswer, ValidateAnswer
from hornet.remote.fleet_file import FleetFile
from hornet.results.matrix import MatrixFile
from hornet.results.outcomes import Case, RequirementLine
from hornet.results.records import Record
from hornet.results.run_info import RunInfo
from reports.comparison import ComparisonFile
from reports.decision import DecisionFile
from reports.summary import Report
from reports.trend import TrendFile

DIALECT = "https://json-schema.org/draft/2020-12/schema"
# By name: what the schema is of, and its model. Of JSON Lines: each line.
FILES: dict[str, tuple[str, Any]] = {
    "run": ("run.json of a run directory", RunInfo),
    "outcomes": ("a line of outcomes.jsonl", Case | RequirementLine),
    "records": ("a line of records.jsonl", Record),
    "report": ("report.json of a run directory", Report),
    "gate": ("the output of hornetos gate --json", DecisionFile),
    "compare": ("the output of hornetos compare --json", ComparisonFile),
    "fleet": ("fleet.json of a fleet of hosts", FleetFile),
    "matrix": ("matrix.json, and the output of hornetos run --matrix --json", MatrixFile),
    "adopt": ("the output of hornetos adopt --json", AdoptAnswer),
    "new-version": ("the output of hornetos new-version --json", NewVersionAnswer),
    "validate": ("the output of hornetos validate --json", ValidateAnswer),
    "rollback": ("the output of hornetos rollback --json", RollbackAnswer),
    "net-list": ("the output of hornetos net list --json", NetList),
    "net-check": ("the output of hornetos net check --json", NetCheck),
    "production": ("the output of hornetos host --production --json", ProductionAnswer),
    "trend": ("the output of hornetos trend --json", TrendFile),
}


class _AsWritten(GenerateJsonSchema):
    """Every field is required: the suite writes each, also those that it could read without."""

    def field_is_required(self, field: Any, total: bool) -> bool:
        return True


def schema_of(name: str) -> dict[str, Any]:
    """The schema of a file, as it is written. Raises KeyError for an unknown name."""
    title, model = FILES[name]
    schema = TypeAdapter(model).json_schema(mode="serialization", schema_generator=_AsWritten)
    return {"$schema": DIALECT, **schema, "title": title}
