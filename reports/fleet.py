"""The page of a fleet of hosts: every requirement and every target with one column per host, never averaged."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from hornet.host.durable import write_file
from hornet.remote.fleet_decision import FleetDecision, HostResult
from hornet.remote.fleet_file import HOSTS_DIRECTORY, FleetFile
from hornet.results.verdict import Judgement
from hornet.spec.model import Spec
from reports.page import render

PAGE = "fleet.html"


@dataclass(frozen=True)
class RequirementAcross:
    """A requirement with its row on each host. differs: whether hosts have different results."""

    id: str
    text: str
    level: str
    by_host: list[tuple[str, str, str]]

    @property
    def differs(self) -> bool:
        return len({result for _, result, _ in self.by_host}) > 1


@dataclass(frozen=True)
class MetricAcross:
    """A target with what each host measured: several, if it has several dimensions or lanes; empty if none."""

    title: str
    target: str
    by_host: list[tuple[str, list[Judgement]]]


def write_fleet_page(directory: Path, fleet: FleetFile, decision: FleetDecision, spec: Spec) -> Path:
    """Write fleet.html. Raises OSError."""
    path = directory / PAGE
    page = render(
        "fleet.html.j2",
        {},
        fleet=fleet,
        decision=decision,
        metrics=_metrics(decision, spec),
        requirements=_requirements(decision),
        hosts_directory=HOSTS_DIRECTORY,
    )
    write_file(path, page)
    return path


def _metrics(decision: FleetDecision, spec: Spec) -> list[MetricAcross]:
    return [
        MetricAcross(
            metric.title, _target(spec, key, decision), [(host.name, _of(host, key)) for host in decision.hosts]
        )
        for key, metric in spec.metrics.items()
    ]


def _target(spec: Spec, key: str, decision: FleetDecision) -> str:
    metric = spec.metrics[key]
    targets = {item.target for host in decision.hosts for item in host.judgements if item.metric == key}
    sign = "≤" if metric.direction == "lower" else "≥"
    return " or ".join(f"{sign} {target:g} {metric.unit}" for target in sorted(targets))


def _of(host: HostResult, key: str) -> list[Judgement]:
    return [item for item in host.judgements if item.metric == key and item.record]


def _requirements(decision: FleetDecision) -> list[RequirementAcross]:
    """Of each host with a run, the same requirements in the same order: those of the suite that led the fleet."""
    rows = [[(host.name, row) for row in host.decision.rows] for host in decision.hosts if not host.missing]
    return [
        RequirementAcross(
            id=across[0][1].id,
            text=across[0][1].text,
            level=across[0][1].level,
            by_host=[(name, row.result, row.reason) for name, row in across],
        )
        for across in zip(*rows, strict=True)
    ]
