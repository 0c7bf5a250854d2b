"""The decision on a fleet: that of each host by itself, by the rules for any run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from hornet.remote.fleet_file import HOSTS_DIRECTORY, FleetFile, host_directory
from hornet.results.columns import Column, Columns, column_of
from hornet.results.gate import Decision, Demands, decide
from hornet.results.run import Run
from hornet.spec.model import Spec


def decide_fleet(directory: Path, fleet: FleetFile, spec: Spec, demands: Demands) -> Columns:
    """Decide on each host; one without a run is one of which all was lost."""

    def decision(spec: Spec, run: Run) -> Decision:
        return decide(spec, run, demands)

    hosts = []
    for name, state in fleet.hosts.items():
        place = host_directory(directory, name)
        came_back = state.came_back and place.is_dir()
        missing = "" if came_back else state.reason or "its results were removed"
        page = f"{HOSTS_DIRECTORY}/{name}/report.html"
        hosts.append(column_of(name, place, missing, spec, decision, page))
    return Columns("host", hosts, _differing(hosts))


def _differing(hosts: Sequence[Column]) -> list[str]:
    """One sentence for each artifact of which hosts judged different bytes."""
    found: dict[str, dict[str, list[str]]] = {}
    for host in hosts:
        for kind, sha256 in host.run.subject.items():
            found.setdefault(kind, {}).setdefault(sha256, []).append(host.name)
    return [
        f"{kind}: hosts judged different ones: "
        + "; ".join(f"{sha256[:12]} on {', '.join(names)}" for sha256, names in by_hash.items())
        for kind, by_hash in found.items()
        if len(by_hash) > 1
    ]
