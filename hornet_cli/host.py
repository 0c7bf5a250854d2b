"""`hornetos host`: the host's tools and features, and the lanes that work on it. Each lane is proved by a boot."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from hornet.host.workspace import Workspace
from hornet_cli.context import Settings, settings
from hornet_cli.printer import AsJson, say, say_answer, say_json, show

STATES = {True: "✓", False: "✗ change it", None: "? not judged"}


def host(
    ctx: typer.Context,
    kernel: Annotated[
        Path | None, typer.Option(help="The vmlinux to prove lanes with (default: the newest built one).")
    ] = None,
    production: Annotated[
        bool, typer.Option("--production", help="Judge its settings for VMs of several tenants instead.")
    ] = False,
    vms: Annotated[
        int | None, typer.Option(min=1, help="With --production: for so many VMs (default: the target of the spec).")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show the host's tools, features and lanes (exit 0: the host is ready, 1: it is not, 2: no lane could be proved).

    A lane (VMM/accelerator) is proved by booting a kernel until its first program has run. The result is cached until
    the host or the kernel changes. Without a built kernel every lane is "not proved".

    --production reads kernel, processor and limits, and says of each setting what was found, what is wanted, why, and
    how to change it (exit 0: all as wanted, 1: some are not, 2: some could not be judged).
    """
    from hornet.capacity.at_rest import DENSITY_METRIC
    from hornet.checks.host_readiness import host_abilities, host_problems, host_remarks
    from hornet.errors import HostError
    from hornet.host.facts import host_facts
    from hornet.host.tools import all_tools
    from hornet.vm.lanes import probe_lanes
    from hornet.vmm.registry import vmm_programs

    mine = settings(ctx)
    if vms and not production:
        raise HostError("--vms: it says for how many VMs the limits are judged", "use it with --production")
    if production:
        _production(mine, vms or int(mine.spec.target(DENSITY_METRIC)), as_json=as_json)
        return
    if kernel and not kernel.is_file():
        raise HostError(f"{kernel}: no such file", "name a vmlinux, or leave --kernel out")
    facts = host_facts(mine.workspace, vmm_programs())
    required = [tool.name for tool in all_tools(vmm_programs()) if tool.required]
    kernel = kernel or _newest_kernel(mine.workspace)
    lanes = probe_lanes(mine.workspace, kernel, mine.spec)
    problems, remarks = host_problems(facts, lanes, required), host_remarks(facts, lanes)
    abilities = host_abilities(facts)
    states = [dataclasses.asdict(state) for state in lanes]
    if as_json:
        shown = {"host": facts, "lanes": states, "kernel": str(kernel) if kernel else None}
        say_json({**shown, "abilities": abilities, "problems": problems, "remarks": remarks})
    else:
        _print_tables(facts, states, required)
        for title, obstacle in abilities.items():
            say(f"{'cannot' if obstacle else 'can'} {title}" + (f": {obstacle}" if obstacle else ""))
        for heading, sentences in (("problem", problems), ("note", remarks)):
            for sentence in sentences:
                say(f"{heading}: {sentence}")
    if problems:
        raise typer.Exit(1)
    if kernel and not any(state.usable for state in lanes):
        reasons = "; ".join(f"{state.lane}: {state.reason}" for state in lanes if state.usable is None)
        raise HostError(f"no lane could be proved: {reasons}", "fix that, then run it again")


def _production(mine: Settings, vms: int, *, as_json: bool) -> None:
    from rich.table import Table

    from hornet.host.production import ProductionAnswer, production_findings

    found = production_findings(mine.spec.production, mine.spec.capacity.limits, vms)
    if as_json:
        say_answer(ProductionAnswer(vms, found))
    else:
        table = Table("Setting", "", "Found", "Wanted", box=None, pad_edge=False, header_style="dim")
        for item in found:
            table.add_row(item.title, STATES[item.fine], item.found, item.wanted)
        show(table)
        for item in found:
            if not item.fine:
                say(f"\n{item.title}: {item.why}\n  next: {item.change}")
    states = {item.fine for item in found}
    if states != {True}:
        raise typer.Exit(1 if False in states else 2)


def _newest_kernel(workspace: Workspace) -> Path | None:
    built = sorted(workspace.build.glob("kernel/*/vmlinux"), key=lambda path: path.stat().st_mtime)
    return built[-1] if built else None


def _print_tables(facts: dict[str, Any], lanes: Sequence[dict[str, Any]], required_tools: Sequence[str]) -> None:
    from rich.table import Table
    from rich.text import Text

    words = {
        True: Text("✓ works", "green"),
        False: Text("✗ does not work", "bold red"),
        None: Text("? not proved", "cyan"),
    }
    lane_table = Table("Lane", "State", "Why", box=None, pad_edge=False, header_style="dim")
    for state in lanes:
        lane_table.add_row(state["lane"], words[state["usable"]], state["reason"])
    tool_table = Table("Tool", "Version", "Debian package", box=None, pad_edge=False, header_style="dim")
    for name, version in facts["tools"].items():
        absent = Text("✗ missing", "bold red") if name in required_tools else Text("– not installed", "dim")
        known = {None: absent, "?": Text("unknown", "dim")}.get(version, version)
        tool_table.add_row(name, known, facts["packages"][name])
    fact_table = Table(box=None, pad_edge=False, show_header=False)
    for key, value in {**facts, **facts["tuning"]}.items():
        if key not in ("tools", "packages", "tuning"):
            fact_table.add_row(Text(key, "dim"), ("yes" if value else "no") if isinstance(value, bool) else str(value))
    for table in (fact_table, tool_table, lane_table):
        show(table)
        say()
