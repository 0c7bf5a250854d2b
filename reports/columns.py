"""A page of several runs: every requirement and every target with one column per run, never averaged."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from hornet.host.durable import write_file
from hornet.results.columns import Column, Columns
from hornet.results.requirements import RequirementRow
from hornet.results.verdict import Judgement
from hornet.spec.model import Spec
from reports.page import render

FLEET_PAGE, MATRIX_PAGE = "fleet.html", "matrix.html"


@dataclass(frozen=True)
class Heading:
    """The top of the page. kind: what the runs are together, as in `fleet`. begun: ISO 8601. suite: its version."""

    kind: str
    name: str
    begun: str
    suite: str


@dataclass(frozen=True)
class RequirementAcross:
    """A requirement with its row in each column that has a run; None in one of another tier or image. differs: whether
    columns have different results."""

    id: str
    text: str
    level: str
    by_column: list[tuple[str, RequirementRow | None]]

    @property
    def differs(self) -> bool:
        return len({row.result if row else None for _, row in self.by_column}) > 1


@dataclass(frozen=True)
class MetricAcross:
    """A target with what each run measured: several, if it has several dimensions or lanes; empty if none."""

    title: str
    target: str
    by_column: list[tuple[str, list[Judgement]]]


def write_columns_page(path: Path, heading: Heading, columns: Columns, spec: Spec) -> Path:
    """Write the page. Raises OSError."""
    page = render(
        "columns.html.j2",
        {},
        heading=heading,
        decision=columns,
        metrics=_metrics(columns, spec),
        requirements=_requirements(columns),
    )
    write_file(path, page)
    return path


def _metrics(columns: Columns, spec: Spec) -> list[MetricAcross]:
    return [
        MetricAcross(
            metric.title, _target(spec, key, columns), [(each.name, _of(each, key)) for each in columns.columns]
        )
        for key, metric in spec.metrics.items()
    ]


def _target(spec: Spec, key: str, columns: Columns) -> str:
    metric = spec.metrics[key]
    targets = {item.target for column in columns.columns for item in column.judgements if item.metric == key}
    sign = "≤" if metric.direction == "lower" else "≥"
    return " or ".join(f"{sign} {target:g} {metric.unit}" for target in sorted(targets))


def _of(column: Column, key: str) -> list[Judgement]:
    return [item for item in column.judgements if item.metric == key and item.record]


def _requirements(columns: Columns) -> list[RequirementAcross]:
    """Every requirement that a run was asked for, in the order of the requirements."""
    rows = {each.name: {row.id: row for row in each.decision.rows} for each in columns.columns if not each.missing}
    found = {key: row for of_column in rows.values() for key, row in of_column.items()}
    return [
        RequirementAcross(
            id=row.id,
            text=row.text,
            level=row.level,
            by_column=[(name, of_column.get(row.id)) for name, of_column in rows.items()],
        )
        for row in found.values()
    ]
