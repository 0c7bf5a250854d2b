"""`hornetos fleet`: the same run on several hosts by SSH, and one page with the hosts side by side."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hornet.errors import HostError
from hornet.host.durable import write_file
from hornet_cli.context import Settings, settings
from hornet_cli.judging import PolicyOption, RequireKvm, WaiversOption, demands_on
from hornet_cli.printer import say, say_json

if TYPE_CHECKING:
    from hornet.remote.fleet_file import FleetFile
    from hornet.remote.hosts import RemoteHost
    from hornet.remote.plan import Plan

LIMIT_MINUTES = 180.0

fleet_app = typer.Typer(
    help="""The same run on several hosts by SSH, side by side and never averaged.

    The hosts stand in a TOML file: docs/fleets.md. HORNET_HOME/fleets/ has the runs that came back, and one page.""",
    no_args_is_help=True,
)
THERE = "a path on each host"


@fleet_app.command()
def run(
    ctx: typer.Context,
    hosts: Annotated[Path, typer.Option(help="The hosts: a TOML file (docs/fleets.md).")],
    tier: Annotated[str | None, typer.Option(help="The tier to build and judge; default: standard.")] = None,
    lane: Annotated[str | None, typer.Option(help="The lane; default: the best that works on each host.")] = None,
    snapshot: Annotated[str | None, typer.Option(help=f"Judge this snapshot: {THERE}.")] = None,
    image: Annotated[str | None, typer.Option(help=f"Judge this root file system: {THERE}.")] = None,
    kernel: Annotated[str | None, typer.Option(help=f"The vmlinux to judge: {THERE}.")] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Only what one boot and two restores answer.")] = False,
    require_kvm: RequireKvm = False,
    limit_minutes: Annotated[float, typer.Option(help="A host that takes longer is ended and named.")] = LIMIT_MINUTES,
    policy: PolicyOption = None,
    waivers: WaiversOption = None,
    resume: Annotated[
        str | None, typer.Option(help="Go on with this fleet: only where work is missing, by the options it had.")
    ] = None,
) -> None:
    """Check that every host has this suite and specification, run `hornetos run` on all at once, and bring all back.

    Exit code 0 if every host passed, 1 if one failed, 2 if work is missing or could not be judged. A host that is
    unreachable, slow, lost or of another version is named, and the others go on.
    """
    from pydantic import ValidationError

    from hornet.foreign_file import ForeignFileError, first_problem
    from hornet.remote.fleet_run import FleetRun
    from hornet.remote.hosts import read_hosts
    from hornet.remote.plan import Plan
    from hornet.results.policy import POLICY_FILE, policy_text
    from hornet.results.waivers import WAIVERS_FILE

    mine = settings(ctx)
    known = read_hosts(hosts)
    demands = demands_on(mine.workspace.reports, policy, waivers, require_kvm=require_kvm)
    try:
        plan = Plan(
            tier=tier,
            lane=lane,
            snapshot=snapshot,
            image=image,
            kernel=kernel,
            quick=quick,
            require_kvm=require_kvm,
            limit_minutes=limit_minutes,
        )
    except ValidationError as error:
        raise ForeignFileError(f"--{first_problem(error)}", "correct this option") from error
    directory, fleet = _resumed(mine, resume, known) if resume else _new(mine, plan, known)
    if policy:
        write_file(directory / POLICY_FILE, policy_text(demands.policy))
    if waivers:
        write_file(directory / WAIVERS_FILE, waivers.read_text(encoding="utf-8"))
    FleetRun(directory, fleet, known, lambda name, line: mine.progress.say(f"{name}: {line}")).go()
    _decide(mine, directory, fleet, policy, waivers, again=bool(policy or waivers))


@fleet_app.command()
def report(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(help="A fleet in HORNET_HOME/fleets.")],
    policy: PolicyOption = None,
    waivers: WaiversOption = None,
) -> None:
    """Decide again on what came back, and write the page again."""
    from hornet.remote.fleet_file import read_fleet

    mine = settings(ctx)
    directory = _directory(mine, name)
    _decide(mine, directory, read_fleet(directory), policy, waivers, again=True)


@fleet_app.command()
def here(
    ctx: typer.Context,
    snapshot: Annotated[Path | None, typer.Option(help="A snapshot to hash.")] = None,
    image: Annotated[Path | None, typer.Option(help="A root file system to hash.")] = None,
    kernel: Annotated[Path | None, typer.Option(help="A vmlinux to hash.")] = None,
    run: Annotated[list[str] | None, typer.Option(help="Say whether this run still runs; repeatable.")] = None,
) -> None:
    """Print as JSON what this host has: suite, commit, specification, and hashes. `fleet run` asks every host."""
    from hornet.remote.here import describe

    mine = settings(ctx)
    named = {"snapshot": snapshot, "image": image, "kernel": kernel}
    paths = {name: path for name, path in named.items() if path}
    runs = [mine.workspace.reports / name for name in run or ()]
    say_json(describe(mine.spec, paths, runs).model_dump(mode="json"))


def _new(mine: Settings, plan: Plan, hosts: dict[str, RemoteHost]) -> tuple[Path, FleetFile]:
    from hornet.remote.fleet_file import FleetFile, HostState
    from hornet.remote.here import describe

    name = time.strftime("fleet-%Y%m%d-%H%M%S")
    directory = mine.workspace.path("fleets", name)
    try:
        directory.mkdir()
    except FileExistsError:
        raise HostError(f"{directory}: another fleet began in this second", "run it again") from None
    return directory, FleetFile(
        name=name,
        begun=datetime.now(UTC).isoformat(timespec="seconds"),
        here=describe(mine.spec, {}, []),
        plan=plan,
        hosts={host: HostState() for host in hosts},
    )


def _resumed(mine: Settings, name: str, hosts: dict[str, RemoteHost]) -> tuple[Path, FleetFile]:
    """A fleet to go on with. Raises HostError if it had other hosts, or was of another suite or specification."""
    from hornet.remote.fleet_file import read_fleet
    from hornet.remote.here import describe, differences

    directory = _directory(mine, name)
    fleet = read_fleet(directory)
    if set(fleet.hosts) != set(hosts):
        raise HostError(
            f"fleet {name}: its hosts were {', '.join(fleet.hosts)}, the file has {', '.join(hosts)}",
            "name the same hosts (addresses and keys may change), or start another fleet",
        )
    problems = differences(fleet.here, describe(mine.spec, {}, []))
    if problems:
        raise HostError(f"fleet {name}: {'; '.join(problems)}", "resume it with what began it, or start another fleet")
    return directory, fleet


def _directory(mine: Settings, name: str) -> Path:
    from hornet.remote.fleet_file import FLEET_FILE
    from hornet.text import similar_names

    known = sorted(path.parent.name for path in mine.workspace.fleets.glob(f"*/{FLEET_FILE}"))
    if name not in known:
        raise HostError(
            f"{name}: no such fleet{similar_names(name, known)}", f"use one of: {', '.join(known[-3:]) or 'none yet'}"
        )
    return mine.workspace.path("fleets", name)


def _decide(
    mine: Settings, directory: Path, fleet: FleetFile, policy: Path | None, waivers: Path | None, *, again: bool
) -> None:
    """Write the pages, say what became of each host, and end with the exit code. again: also the pages of hosts that
    have one."""
    from hornet.remote.fleet_decision import decide_fleet
    from hornet.results.history import REPORT_FILE
    from reports import build_reports
    from reports.columns import FLEET_PAGE, Heading, write_columns_page

    demands = demands_on(directory, policy, waivers, require_kvm=fleet.plan.require_kvm)
    decision = decide_fleet(directory, fleet, mine.spec, demands)
    came_back = [host.run.directory for host in decision.columns if not host.missing]
    build_reports([each for each in came_back if again or not (each / REPORT_FILE).exists()], mine.spec, demands)
    for host in decision.columns:
        say(f"{host.name}: {f'missing: {host.missing}' if host.missing else host.decision.headline}")
    for sentence in decision.remarks:
        say(f"note: {sentence}")
    say(f"fleet {fleet.name} {decision.headline}")
    heading = Heading("fleet", fleet.name, fleet.begun, fleet.here.suite)
    say(f"\nreport: {write_columns_page(directory / FLEET_PAGE, heading, decision, mine.spec)}")
    if fleet.missing:
        say(f"next: hornetos fleet run --hosts FILE --resume {fleet.name}")
    raise typer.Exit(decision.answer.exit_code)
