"""The decision on a fleet: that of each host by itself. Nothing is averaged, and missing work is not judged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hornet.remote.fleet_file import FleetFile, host_directory
from hornet.results.gate import Answer, Decision, Demands, decide
from hornet.results.run import Run, load_run
from hornet.results.verdict import Judgement, judge
from hornet.spec.model import Spec


@dataclass(frozen=True)
class HostResult:
    """How the plan ended on one host. missing: why there is no run; empty if there is one."""

    name: str
    missing: str
    run: Run
    decision: Decision
    judgements: list[Judgement]


@dataclass(frozen=True)
class FleetDecision:
    """differing: one sentence for each artifact of which hosts judged different bytes."""

    answer: Answer
    hosts: list[HostResult]
    differing: list[str]

    @property
    def headline(self) -> str:
        """The decision in one sentence, which says no more than the results do."""
        counts = [(answer, sum(host.decision.answer is answer for host in self.hosts)) for answer in Answer]
        missing = sum(bool(host.missing) for host in self.hosts)
        shown = ", ".join(f"{answer} on {count}" for answer, count in counts if count)
        lost = f"; the work of {missing} is missing" if missing else ""
        return f"{self.answer}: {shown} of {len(self.hosts)} hosts{lost}"


def decide_fleet(directory: Path, fleet: FleetFile, spec: Spec, demands: Demands) -> FleetDecision:
    """Decide on each host by the rules for any run; a host without a run is one of which all was lost.

    The fleet fails if a host fails, and passes if every host passes.
    """
    hosts = [_result(directory, fleet, name, spec, demands) for name in fleet.hosts]
    answers = {host.decision.answer for host in hosts}
    worst = next(answer for answer in (Answer.FAILED, Answer.NOT_JUDGED, Answer.PASSED) if answer in answers)
    return FleetDecision(worst, hosts, _differing(hosts))


def _result(directory: Path, fleet: FleetFile, name: str, spec: Spec, demands: Demands) -> HostResult:
    state, place = fleet.hosts[name], host_directory(directory, name)
    if state.came_back and place.is_dir():
        run, missing = load_run(place), ""
    else:
        missing = state.reason or "its results were removed"
        run = Run(place, lost=[f"{name}: {missing}"], problems=[f"{name}: {missing}"])
    return HostResult(name, missing, run, decide(spec, run, demands), judge(spec, run.records))


def _differing(hosts: Sequence[HostResult]) -> list[str]:
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
