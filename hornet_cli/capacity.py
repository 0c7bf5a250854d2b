"""`hornetos capacity`: how many hosts a fleet of agents needs, from the memory that runs measured."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hornet_cli.context import Settings, settings
from hornet_cli.printer import say, say_json, show
from hornet_cli.report import run_directory

if TYPE_CHECKING:
    from hornet.capacity.fleet import Answer
    from hornet.capacity.guide_claim import ClaimRow
    from hornet.capacity.measured import Measured
    from hornet.capacity.request import Request
    from hornet.spec.capacity import Profile

SAMPLES = "samples"
LATEST = "latest"
NOT_ENOUGH_HOSTS = 1


def capacity(
    ctx: typer.Context,
    runs: Annotated[
        list[str] | None,
        typer.Argument(help="Runs with measured memory, one per tier; names or paths; default: the newest."),
    ] = None,
    agents: Annotated[int | None, typer.Option(help="How many agents run at once.")] = None,
    profile: Annotated[
        str | None, typer.Option(help="What agents do: a profile of the spec, `worked`, `samples`.")
    ] = None,
    group: Annotated[
        list[str] | None, typer.Option(help="AGENTS:PROFILE[:TIER[:VM_MB]], for mixed fleets; repeatable.")
    ] = None,
    samples: Annotated[Path | None, typer.Option(help="CSV of a team's own agents: agent, time_s, memory_mb.")] = None,
    idle: Annotated[
        float | None, typer.Option(help="Share of time between bursts, 0 to 1, instead of the profile's.")
    ] = None,
    correlation: Annotated[float | None, typer.Option(help="Of bursts, 0 to 1, instead of the profile's.")] = None,
    risk: Annotated[float | None, typer.Option(help="Of exceeding a host's memory, at any one moment.")] = None,
    over_year: Annotated[
        bool, typer.Option("--over-year", help="The risk also counts for a year: that any host exceeds its memory.")
    ] = False,
    spare_hosts: Annotated[
        int | None, typer.Option(min=0, help="Hosts that may be lost at once (default: the spec's).")
    ] = None,
    memory_mb: Annotated[float | None, typer.Option(help="A host's memory in MB of 1,000,000 bytes.")] = None,
    reserved_mb: Annotated[float | None, typer.Option(help="Memory that the host reserves, in MB.")] = None,
    cores: Annotated[float | None, typer.Option(help="A host's cores.")] = None,
    host: Annotated[
        list[str] | None, typer.Option(help="NAME:MEMORY_MB:CORES[:COUNT], filled in this order; repeatable.")
    ] = None,
    vm_memory_mb: Annotated[
        float | None, typer.Option(help="Memory of a VM in MB (default: the spec's machine).")
    ] = None,
    kept: Annotated[
        bool, typer.Option("--kept", help="VMs keep a burst's memory: no free page reporting, no driven balloon.")
    ] = False,
    this_host: Annotated[bool, typer.Option("--this-host", help="Read the kernel's limits of this host.")] = False,
    lane: Annotated[str | None, typer.Option(help="The lane whose memory counts (default: the best one).")] = None,
    what_if: Annotated[list[str] | None, typer.Option(help="NAME=VALUE[,NAME=VALUE], as in busy_share=0.1.")] = None,
    seed: Annotated[int | None, typer.Option(help="Of the simulation (default: the spec's).")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the plan as JSON.")] = False,
    csv: Annotated[Path | None, typer.Option(help="Write the risk by VMs per host to this file.")] = None,
    page: Annotated[Path | None, typer.Option(help="Write the plan as a page with pictures to this file.")] = None,
) -> None:
    """Plan hosts for agents.

    `latest` is the newest run with measured memory; without any, the footprint of the spec is taken, which this suite
    measured elsewhere. Exit code 1 if the given hosts are too few; 2 if a named run has no usable memory record, or an
    input is impossible.
    """
    from hornet.capacity.fleet import answer
    from hornet.capacity.limits import read_limits
    from hornet.capacity.request import scenarios
    from hornet.capacity.request import what_if as parsed_what_if

    mine = settings(ctx)
    given = mine.spec.capacity
    options = {
        "agents": given.agents if agents is None else agents,
        "profile": profile or (SAMPLES if samples else given.default_profile),
        "idle": idle,
        "correlation": correlation,
        "risk": given.risk if risk is None else risk,
        "memory_mb": given.host_memory_mb if memory_mb is None else memory_mb,
        "reserved_mb": given.host_reserved_mb if reserved_mb is None else reserved_mb,
        "cores": given.assumptions.host_cores.value if cores is None else cores,
        "vm_memory_mb": _spec_vm_mb(mine) if vm_memory_mb is None else vm_memory_mb,
        "kept": kept,
        "over_year": over_year,
        "seed": given.seed if seed is None else seed,
        "groups": group or [],
        "hosts": host or [],
    }
    request = _request(options)
    measurements = [_measured(mine, name, lane) for name in runs or [LATEST]]
    profiles = _profiles(mine, measurements, samples)
    planned = scenarios(request, given, profiles, measurements)
    limits = read_limits(given.limits) if this_host else given.limits
    spare = given.spare_hosts if spare_hosts is None else spare_hosts
    plan = answer(planned, limits, measurements, [parsed_what_if(text) for text in what_if or []], spare)
    claim = _claim(mine, measurements, profiles, request)
    if csv:
        _write_csv(plan, csv)
    if page:
        from hornet.capacity.at_rest import DENSITY_METRIC
        from reports.plan_page import write_plan_page

        write_plan_page(page, plan, claim, mine.spec.metrics[DENSITY_METRIC])
    if as_json:
        _say_json(plan, claim)
    else:
        _show(plan, claim)
        for path in filter(None, (csv, page)):
            say(f"\nwritten: {path}")
    if plan.unplaced or (spare_hosts and plan.spare.hosts < plan.spare.wanted):
        raise typer.Exit(NOT_ENOUGH_HOSTS)


def _request(options: dict[str, Any]) -> Request:
    from pydantic import ValidationError

    from hornet.capacity.request import Request
    from hornet.foreign_file import first_problem

    try:
        return Request.model_validate(options)
    except ValidationError as error:
        raise typer.BadParameter(first_problem(error)) from error


def _spec_vm_mb(mine: Settings) -> float:
    from hornet.capacity.model import MB_PER_MIB

    return mine.spec.machine.memory_mib * MB_PER_MIB


def _measured(mine: Settings, name: str, lane: str | None) -> Measured:
    from hornet.capacity.measured import latest_measured, measured, of_spec
    from hornet.results.run import load_run

    if name == LATEST:
        return latest_measured(mine.workspace.reports, lane) or of_spec(mine.spec.capacity.footprint)
    return measured(load_run(run_directory(mine.workspace, name)), lane)


def _profiles(mine: Settings, measurements: list[Measured], samples: Path | None) -> dict[str, Profile]:
    """Those of the spec, of the first run's own work, and of the samples."""
    from hornet.capacity.measured import WORKED, profile_of_work
    from hornet.capacity.samples import profile_from_csv

    found = dict(mine.spec.profiles)
    usual = found[mine.spec.capacity.default_profile]
    if measurements[0].grown:
        found[WORKED] = profile_of_work(measurements[0], usual)
    if samples:
        found[SAMPLES] = profile_from_csv(samples, usual)
    return found


def _claim(
    mine: Settings, measurements: list[Measured], profiles: dict[str, Profile], request: Request
) -> list[ClaimRow]:
    from hornet.capacity.at_rest import DENSITY_METRIC
    from hornet.capacity.guide_claim import guide_claim

    density = mine.spec.metrics[DENSITY_METRIC]
    return guide_claim(mine.spec.capacity, density, measurements, profiles, kept=request.kept, risk=request.risk)


def _write_csv(plan: Answer, path: Path) -> None:
    import pandas as pd

    rows = [
        {"host": found.host.name, "vms": point.vms, "risk": point.risk, "low": point.low, "high": point.high}
        for found in plan.types
        for point in found.plan.memory.curve
    ]
    pd.DataFrame(rows).to_csv(path, index=False)


def _say_json(plan: Answer, claim: list[ClaimRow]) -> None:
    from pydantic import TypeAdapter

    from hornet.capacity.fleet import Answer
    from hornet.capacity.guide_claim import ClaimRow
    from hornet.capacity.sentences import headline

    data = TypeAdapter(Answer).dump_python(plan, mode="json")
    say_json({"answer": headline(plan), **data, "guide_claim": TypeAdapter(list[ClaimRow]).dump_python(claim)})


def _show(plan: Answer, claim: list[ClaimRow]) -> None:
    from hornet.capacity import sentences

    scenario = plan.scenario
    say(sentences.headline(plan))
    say(f"{sentences.rests_on(plan)}\n")
    for found in plan.types:
        if len(plan.types) > 1:
            say(f"{found.host.name}: {found.alone or 'no number of'} such hosts would hold all agents")
        say(sentences.binding(found, scenario))
        say(sentences.interval(found))
        say("\n".join(sentences.overflows(found, scenario)))
        say(sentences.over_a_year(found, scenario) + "\n")
    say(sentences.other_way(plan))
    for fit in plan.guests:
        say(sentences.guest_fit(fit, scenario.risk))
    _show_tables(plan, claim)


def _show_tables(plan: Answer, claim: list[ClaimRow]) -> None:
    from reports.plan_tables import as_rich, tables

    for table in tables(plan, claim):
        say(f"\n{table.title}")
        show(as_rich(table))
